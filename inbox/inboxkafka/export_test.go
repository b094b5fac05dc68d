package inboxkafka

import "time"

// HealthAt is Health at another moment.
func (c *Consumer) HealthAt(now time.Time) error { return c.health(now) }
