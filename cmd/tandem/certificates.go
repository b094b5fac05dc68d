package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// The files of TLS and of passwords. They are read at the start, so that what is
// wrong is reported with everything else, and again for every connection, so that
// a renewed file needs no restart.

// readFileOf is a file's content; the error leaves out the name, which is said
// elsewhere.
func readFileOf(name string) ([]byte, error) {
	content, err := os.ReadFile(name)
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	return content, nil
}

// readPassword is the content of a password's file without the end of its line.
func readPassword(name string) (string, error) {
	content, err := readFileOf(name)
	if err != nil {
		return "", err
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if password == "" {
		return "", errors.New("it is empty")
	}
	if strings.ContainsAny(password, "\r\n\x00") {
		return "", errors.New("it holds more than one line")
	}
	return password, nil
}

// readCertificates are the certificates of a PEM file, at least one.
func readCertificates(name string) ([]*x509.Certificate, error) {
	rest, err := readFileOf(name)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("its certificate %d is damaged: %w", len(all)+1, err)
		}
		all = append(all, certificate)
	}
	if len(all) == 0 {
		return nil, errors.New("it holds no certificate in PEM form")
	}
	return all, nil
}

// expired says that a certificate is not valid now.
func expired(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("its certificate of %q expired at %s", c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("its certificate of %q is not valid before %s", c.Subject, c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// checkAuthorities wants a file with at least one CA that is valid now: a bundle
// may keep old ones.
func checkAuthorities(name string) error {
	all, err := readCertificates(name)
	if err != nil {
		return err
	}
	for _, c := range all {
		if err = expired(c, time.Now()); err == nil {
			return nil
		}
	}
	return err
}

// checkCertificate wants a file whose first certificate, the client's own, is
// valid now.
func checkCertificate(name string) error {
	all, err := readCertificates(name)
	if err != nil {
		return err
	}
	return expired(all[0], time.Now())
}

// readPair is a client certificate with its key.
func readPair(certificate, key string) (tls.Certificate, error) {
	c, err := readFileOf(certificate)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s: %w", certificate, err)
	}
	k, err := readFileOf(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s: %w", key, err)
	}
	pair, err := tls.X509KeyPair(c, k)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the key in %s and the certificate in %s are no pair: %w", key, certificate, err)
	}
	return pair, nil
}

// pemFile is a setting that names one.
func pemFile(to *string, name, usage, example string, check func(string) error) *setting {
	return &setting{
		name: name, kind: "file", usage: usage, allowed: "a PEM file", example: example,
		parse: func(text string) error {
			*to = text
			return check(text)
		},
	}
}

// passwordFile is a setting that names a file with a password in it.
func passwordFile(to *string, name, usage, example string) *setting {
	return &setting{
		name: name, kind: "file", usage: usage, allowed: "a file with the password in its one line", example: example,
		parse: func(text string) error {
			*to = text
			_, err := readPassword(text)
			return err
		},
	}
}
