package armsim

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"
)

// throttle keeps to Azure's limits: token buckets of Resource Manager for each subscription, and windows of five minutes of Microsoft.Network
// for each subscription and region. https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling
type throttle struct {
	buckets map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
	shut   time.Time // asking before that puts it off
}

type limit struct {
	burst  float64
	rate   float64 // a second
	header string
	code   string
	wait   time.Duration
}

func limitsFor(method string) []limit {
	minutes := 5 * time.Minute
	if method == http.MethodGet {
		return []limit{{250, 25, "reads", "SubscriptionRequestsThrottled", 10 * time.Second}, {10000, 10000 / minutes.Seconds(), "", "TooManyRequests", minutes}}
	}
	name := "writes"
	if method == http.MethodDelete {
		name = "deletes"
	}
	return []limit{{200, 10, name, "SubscriptionRequestsThrottled", 10 * time.Second}, {1000, 1000 / minutes.Seconds(), "", "TooManyRequests", minutes}}
}

// throttled takes a request out of its buckets.
func (s *Server) throttled(p path, method string, a *answer) *failure {
	if !s.opt.Throttle {
		return nil
	}
	region := ""
	if res := s.resources[strings.ToLower(p.id)]; res != nil {
		region = res.region
	}
	now := s.opt.Now()
	for i, l := range limitsFor(method) {
		key := fmt.Sprint(p.subscription, i, l.header, method == http.MethodGet)
		if i == 1 {
			key += region
		}
		b := s.throttle.buckets[key]
		if b == nil {
			b = &bucket{tokens: l.burst, at: now}
			s.throttle.buckets[key] = b
		}
		b.tokens = math.Min(l.burst, b.tokens+now.Sub(b.at).Seconds()*l.rate)
		b.at = now
		if now.Before(b.shut) || b.tokens < 1 {
			b.shut = now.Add(l.wait)
			f := refuse(http.StatusTooManyRequests, l.code, "The request is being throttled as the limit has been reached. Please retry after '%d' seconds.", int(l.wait.Seconds()))
			f.header = map[string]string{"Retry-After": fmt.Sprint(int(l.wait.Seconds()))}
			return f
		}
		b.tokens--
		if l.header != "" {
			a.header.Set("x-ms-ratelimit-remaining-subscription-"+l.header, fmt.Sprint(int(b.tokens)))
		}
	}
	return nil
}
