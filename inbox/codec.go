package inbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/tandem-outbox/tandem/inbox/internal/ids"
	"github.com/tandem-outbox/tandem/inbox/internal/outcome"
)

// Codec makes a value of a message's payload. An error, or a panic, parks the
// message as "undecodable": to decode the same bytes again would not help. It is
// not asked about tombstones, and is used by several goroutines at once.
type Codec[T any] func(m Message) (T, error)

// JSON decodes payloads as encoding/json does, and so ignores fields that T does
// not have. What is behind the value is refused, and so is null where T cannot
// hold it. A content type is looked at where the message has one:
// application/json and what ends in +json are taken, CloudEvents' structured mode
// is not, because there the payload is one field of several.
func JSON[T any]() Codec[T] { return decodeJSON[T](false) }

// StrictJSON is [JSON], and refuses fields that T does not have.
func StrictJSON[T any]() Codec[T] { return decodeJSON[T](true) }

func decodeJSON[T any](strict bool) Codec[T] {
	return func(m Message) (value T, err error) {
		if err := checkJSON(m.ContentType); err != nil {
			return value, err
		}
		switch text := bytes.TrimSpace(m.Value); {
		case len(text) == 0:
			return value, errors.New("the payload is empty, which is no JSON")
		case string(text) == "null" && !takesNull(&value):
			return value, fmt.Errorf("the payload is null, which %T cannot hold", value)
		}
		d := json.NewDecoder(bytes.NewReader(m.Value))
		if strict {
			d.DisallowUnknownFields()
		}
		if err := d.Decode(&value); err != nil {
			return value, err
		}
		if rest := bytes.TrimSpace(m.Value[d.InputOffset():]); len(rest) > 0 {
			return value, fmt.Errorf("%d bytes stand behind the JSON value", len(rest))
		}
		return value, nil
	}
}

func checkJSON(contentType string) error {
	if contentType == "" {
		return nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return fmt.Errorf("its content type is %.100q: %w", contentType, err)
	case strings.HasPrefix(media, "application/cloudevents"):
		return fmt.Errorf("its content type is %.100q, a whole CloudEvent in structured mode: decode that with a Codec of your own", contentType)
	case media == "application/json", strings.HasSuffix(media, "+json"):
		return nil
	}
	return fmt.Errorf("its content type is %.100q, not application/json", contentType)
}

// takesNull tells whether null means something to T; encoding/json leaves other
// values as they are, which here is a zero that nobody has sent.
func takesNull[T any](value *T) bool {
	if _, own := any(value).(json.Unmarshaler); own {
		return true
	}
	switch reflect.TypeFor[T]().Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return true
	}
	return false
}

// DecodeError is what a message could not be decoded for. It parks the message
// as "undecodable".
type DecodeError struct {
	MessageID string
	Type      string // of the message, such as "order.placed"
	Into      string // the Go type
	Err       error  // of the codec
	Stack     []byte // where the codec panicked; nil where it did not
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("inbox: decode message %s of type %s into %s: %v", ids.Quoted(e.MessageID), ids.Quoted(e.Type), e.Into, e.Err)
}

// Unwrap returns the codec's error.
func (e *DecodeError) Unwrap() error { return e.Err }

var errTombstone = errors.New("inbox: the message is a tombstone (a null value): give an OnTombstone, or a plain Handler for such messages")

// Decode returns the value of m, or the error that parks it and that the handler
// is to return: "tombstone" for a null value, else "undecodable", a [*DecodeError].
// [Typed] calls it; it is for handlers that are no [Handler], such as those on
// database/sql. A panic of the codec is the message's fault, as an error of it is.
func Decode[T any](codec Codec[T], m Message) (value T, err error) {
	if m.Value == nil {
		return value, ParkAs(outcome.Tombstone, errTombstone)
	}
	failed := func(err error, stack []byte) error {
		return ParkAs(outcome.Undecodable, &DecodeError{
			MessageID: m.ID, Type: m.Type, Into: reflect.TypeFor[T]().String(), Err: err, Stack: stack})
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			err = failed(fmt.Errorf("the codec panicked: %w", p), debug.Stack())
		default:
			err = failed(fmt.Errorf("the codec panicked: %v", p), debug.Stack())
		}
	}()
	if value, err = codec(m); err != nil {
		return value, failed(err, nil)
	}
	return value, nil
}
