package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/tandem-outbox/tandem/relay/relaykafka"
)

// kafkaOptions are the settings of every command that talks to Kafka.
type kafkaOptions struct {
	brokers      []string
	tls          bool
	authorities  string // files
	certificate  string
	key          string
	serverName   string
	mechanism    string
	username     string
	password     string
	passwordFile string
}

func (o *kafkaOptions) settings() []*setting {
	brokers := kafkaBrokers(&o.brokers)
	brokers.also = append(o.tlsSettings(), o.saslSettings()...)
	return []*setting{brokers}
}

func (o *kafkaOptions) tlsSettings() []*setting {
	encrypt := toggle(&o.tls, "kafka-tls", "encrypt the connections to Kafka and check the brokers' certificates")
	authorities := pemFile(&o.authorities, "kafka-tls-ca", "the CAs that the brokers' certificates are checked against; those of the system unless given", "/etc/tandem/ca.pem", checkAuthorities)
	certificate := pemFile(&o.certificate, "kafka-tls-cert", "the client certificate for Kafka, with its chain", "/etc/tandem/client.pem", checkCertificate)
	key := pemFile(&o.key, "kafka-tls-key", "the key of --kafka-tls-cert, not encrypted", "/etc/tandem/client.key", func(name string) error {
		_, err := readFileOf(name)
		return err
	})
	serverName := text(&o.serverName, "kafka-tls-server-name", "name", "the name that the brokers' certificates must have; the broker's host unless given", "a host's name", "kafka.example.com")
	encrypt.check = func() (problems []string) {
		for _, s := range []*setting{authorities, certificate, key, serverName} {
			problems = append(problems, lacks(s, encrypt, "nothing is encrypted")...)
		}
		problems = append(problems, lacks(certificate, key, "a certificate is of use only with its key")...)
		problems = append(problems, lacks(key, certificate, "a key is of use only with its certificate")...)
		if certificate.given() && key.given() && checkCertificate(o.certificate) == nil {
			if _, err := readPair(o.certificate, o.key); err != nil {
				problems = append(problems, fmt.Sprintf("%s and %s: %s; give a certificate and its own key", certificate.named(), key.named(), oneLine(err)))
			}
		}
		return problems
	}
	return []*setting{encrypt, authorities, certificate, key, serverName}
}

func (o *kafkaOptions) saslSettings() []*setting {
	mechanism := choice(&o.mechanism, "kafka-sasl-mechanism", "how to log in to Kafka; no login unless given", "", saslMechanisms...)
	mechanism.example = saslMechanisms[2] // not the one in clear text
	username := text(&o.username, "kafka-sasl-username", "name", "who to log in to Kafka as", "a name", "tandem")
	password := text(&o.password, "kafka-sasl-password", "password", "the password of --kafka-sasl-username; better in the environment or in --kafka-sasl-password-file than in a flag", "a password", "secret")
	password.secret = true
	file := passwordFile(&o.passwordFile, "kafka-sasl-password-file", "a file with the password of --kafka-sasl-username; read again for every connection", "/run/secrets/kafka-password")
	mechanism.check = func() (problems []string) {
		problems = append(problems, lacks(mechanism, username, "nobody can log in without a name")...)
		problems = append(problems, both(password, file, "there can be one password only")...)
		if username.given() && !password.given() {
			problems = append(problems, lacks(username, file, "nobody can log in without a password")...)
		}
		for _, s := range []*setting{username, password, file} {
			if !mechanism.given() {
				problems = append(problems, lacks(s, mechanism, "nobody logs in")...)
			} else if s != username {
				problems = append(problems, lacks(s, username, "a password is of use only with a name")...)
			}
		}
		return problems
	}
	return []*setting{mechanism, username, password, file}
}

// config is what a client of Kafka's needs of them.
func (o *kafkaOptions) config() relaykafka.Config {
	c := relaykafka.Config{Brokers: o.brokers}
	if o.tls {
		c.NewTLS = o.newTLS
	}
	if o.mechanism != "" {
		c.SASL = &login{mechanism: o.mechanism, username: o.username, password: o.readPassword}
	}
	return c
}

// readPassword is called for each connection.
func (o *kafkaOptions) readPassword() (string, error) {
	if o.passwordFile == "" {
		return o.password, nil
	}
	password, err := readPassword(o.passwordFile)
	if err != nil {
		return "", fmt.Errorf("the password's file %s: %w", o.passwordFile, err)
	}
	return password, nil
}

// newTLS is called for each connection.
func (o *kafkaOptions) newTLS() (*tls.Config, error) {
	c := &tls.Config{ServerName: o.serverName, MinVersion: tls.VersionTLS12}
	if o.authorities != "" {
		all, err := readCertificates(o.authorities)
		if err != nil {
			return nil, fmt.Errorf("the CAs' file %s: %w", o.authorities, err)
		}
		c.RootCAs = x509.NewCertPool()
		for _, authority := range all {
			c.RootCAs.AddCert(authority)
		}
	}
	if o.certificate != "" {
		pair, err := readPair(o.certificate, o.key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
