package main

import (
	"encoding/json"
	"net/http"
	"time"
)

// detail is what a relay says of itself over HTTP: nothing of an event but its
// topic, and no address.
type detail struct {
	State    string         `json:"state"`
	Ready    bool           `json:"ready"`
	Version  string         `json:"version"`
	Epoch    int64          `json:"epoch"`             // 0 while another relay works
	Lease    float64        `json:"lease_seconds"`     // for how much longer it trusts its lease
	Warnings []string       `json:"warnings"`          // of the backlog
	Backlog  *backlogDetail `json:"backlog"`           // null while not measured, or while another relay works
	Trouble  []topicDetail  `json:"topics_in_trouble"` // whose events cannot be published
}

type backlogDetail struct {
	Measured  time.Time `json:"measured_at"`
	Events    int64     `json:"events"`
	Estimated bool      `json:"estimated"`
	Bytes     int64     `json:"bytes"`
	Seconds   float64   `json:"seconds"`
	Unread    int64     `json:"unread"`
	InFlight  int       `json:"in_flight"`
	Parked    int64     `json:"parked"`
	Waiting   int64     `json:"waiting"`
	Scheduled int64     `json:"scheduled"`
	LogBytes  int64     `json:"log_bytes"`
	Leaves    int       `json:"log_leaves"`
	DiskFull  float64   `json:"disk_full_seconds"` // 0 where it is not known, or does not grow
}

type topicDetail struct {
	Topic    string    `json:"topic"`
	Trouble  string    `json:"trouble"`
	Since    time.Time `json:"since"`
	SetAside bool      `json:"set_aside"`
}

func detailOf(r observed, ready bool) detail {
	d := detail{State: r.State().String(), Ready: ready, Version: releaseText(), Warnings: []string{}, Trouble: []topicDetail{}}
	epoch, left := r.Lease()
	d.Epoch, d.Lease = epoch, left.Seconds()
	if b := r.Backlog(); !b.Measured.IsZero() {
		d.Backlog = &backlogDetail{
			Measured: b.Measured.UTC(), Events: b.Unsaved, Estimated: b.Estimated, Bytes: b.Bytes, Seconds: b.Age.Seconds(),
			Unread: b.Unread, InFlight: b.InFlight, Parked: b.Parked, Waiting: b.Waiting, Scheduled: b.Scheduled,
			LogBytes: b.LogBytes, Leaves: b.Leaves, DiskFull: b.DiskFull.Seconds(),
		}
		d.Warnings = append(d.Warnings, b.Warnings...)
	}
	for _, t := range r.Topics() {
		if t.Trouble != "" {
			d.Trouble = append(d.Trouble, topicDetail{Topic: t.Topic, Trouble: t.Trouble, Since: t.Since.UTC(), SetAside: t.SetAside})
		}
	}
	return d
}

func answerDetail(w http.ResponseWriter, code int, d detail) {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		answer(w, http.StatusInternalServerError, err.Error())
		return
	}
	head(w, code, "application/json")
	_, _ = w.Write(append(text, '\n'))
}
