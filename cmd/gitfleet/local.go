package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitfleet/gitfleet/mcs/local"
)

// localOptions are for --load-balancer local.
type localOptions struct {
	dialMap       string
	addresses     string
	drain         time.Duration
	checkInterval time.Duration
}

func defaultLocalOptions() localOptions {
	return localOptions{addresses: local.DefaultRange().String(), drain: local.DefaultDrain, checkInterval: local.DefaultCheckInterval}
}

func (o *localOptions) addFlags(cmd *cobra.Command) {
	flags, defaults := cmd.Flags(), defaultLocalOptions()
	flags.StringVar(&o.dialMap, "local-dial-map", "", "for --load-balancer local: reach endpoint networks elsewhere, as FROM=TO[,FROM=TO] in CIDR form; then nothing else is dialled")
	flags.StringVar(&o.addresses, "local-range", defaults.addresses, "for --load-balancer local: the addresses that services get, within 127.0.0.0/8")
	flags.DurationVar(&o.drain, "local-drain", defaults.drain, "for --load-balancer local: how long connections to an endpoint that has gone may go on")
	flags.DurationVar(&o.checkInterval, "local-check-interval", defaults.checkInterval, "for --load-balancer local: time between two checks that an endpoint accepts connections")
}

// validate also wants that nothing was set in vain.
func (o *localOptions) validate(chosen bool) error {
	if !chosen {
		if *o != defaultLocalOptions() {
			return errors.New("--local-dial-map, --local-range, --local-drain and --local-check-interval need --load-balancer local")
		}
		return nil
	}
	if o.drain <= 0 {
		return fmt.Errorf("--local-drain %s: must be positive", o.drain)
	}
	if o.checkInterval <= 0 {
		return fmt.Errorf("--local-check-interval %s: must be positive", o.checkInterval)
	}
	return nil
}

func (o *localOptions) open() (*local.Provider, error) {
	mappings, err := local.ParseDialMap(o.dialMap)
	if err != nil {
		return nil, fmt.Errorf("--local-dial-map: %w", err)
	}
	addresses, err := netip.ParsePrefix(o.addresses)
	if err != nil {
		return nil, fmt.Errorf("--local-range: %w", err)
	}
	return local.New(local.Options{Range: addresses, DialMap: mappings, Drain: o.drain, CheckInterval: o.checkInterval})
}
