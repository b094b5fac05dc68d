package relaykafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/segmentio/kafka-go"
)

// Check asks the brokers who they are and returns nil when one of them answers.
// Its errors have a method Temporary() bool: true where no broker could be
// reached, so that waiting may help; false where something is wrong that stays
// so, such as a password, a certificate or a version.
func (p *Publisher) Check(ctx context.Context) error {
	ctx, end, err := p.begin(ctx, metadataTimeout)
	if err != nil {
		return err
	}
	defer end()
	c := &checkError{brokers: strings.Join(p.config.Brokers, ",")}
	answer, err := p.metadata(ctx, []string{})
	if err != nil {
		c.err = err
		c.temporary, c.hint = p.diagnose(err)
		return c
	}
	if c.err = p.tooLarge(ctx, answer.Brokers); c.err != nil {
		c.hint = "lower BatchBytes (--batch-bytes), or raise message.max.bytes of the brokers"
		return c
	}
	return nil
}

// checkError says that the brokers do not answer, and whether they might later.
type checkError struct {
	brokers   string
	err       error
	temporary bool
	hint      string
}

func (e *checkError) Error() string {
	text := fmt.Sprintf("relaykafka: the brokers at %s do not answer: %v", e.brokers, e.err)
	if !e.temporary {
		text = fmt.Sprintf("relaykafka: the brokers at %s refuse this client: %v", e.brokers, e.err)
	}
	if e.hint != "" {
		text += " (" + e.hint + ")"
	}
	return text
}

func (e *checkError) Unwrap() error   { return e.err }
func (e *checkError) Temporary() bool { return e.temporary }

// diagnose says whether waiting may mend err, and what an operator can do.
func (p *Publisher) diagnose(err error) (temporary bool, hint string) {
	var code kafka.Error
	if errors.As(err, &code) {
		switch code {
		case kafka.UnsupportedSASLMechanism, kafka.SASLAuthenticationFailed, kafka.IllegalSASLState,
			kafka.ClusterAuthorizationFailed, kafka.UnsupportedVersion:
			return false, rulings[code].hint
		}
		return true, rulings[code].hint
	}
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		noTLS       tls.RecordHeaderError
		alert       tls.AlertError
		refused     *net.OpError
	)
	switch {
	case errors.As(err, &certificate), errors.As(err, &authority):
		return false, "the brokers' certificate is not trusted: look at the CA and the server name"
	case errors.As(err, &noTLS):
		return false, "TLS is configured, but this listener of the brokers does not speak it"
	case errors.As(err, &alert), errors.As(err, &refused) && refused.Op == "remote error":
		return false, "the brokers refuse the TLS connection: they may want a client certificate"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return true, p.hangUpHint()
	case errors.Is(err, context.DeadlineExceeded) && p.config.encrypts():
		return true, "look at the address, whether a firewall lets nothing through, and whether this listener speaks TLS"
	case errors.Is(err, context.DeadlineExceeded):
		return true, "look at the address, and whether a firewall lets nothing through"
	}
	return true, "look at the address, and whether the brokers run"
}

// hangUpHint says what brokers that close the connection mostly want.
func (p *Publisher) hangUpHint() string {
	switch {
	case !p.config.encrypts() && p.config.SASL == nil:
		return "a broker closed the connection: this listener may want TLS or SASL, and neither is configured"
	case !p.config.encrypts():
		return "a broker closed the connection: this listener may want TLS, which is not configured, or not accept the password"
	case p.config.SASL == nil:
		return "a broker closed the connection: this listener may not speak TLS, or may want SASL, which is not configured"
	}
	return "a broker closed the connection: this listener may not speak TLS or SASL, or not accept the password"
}
