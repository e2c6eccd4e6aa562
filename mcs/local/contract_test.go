package local

import (
	"net/netip"
	"testing"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/mcs/providertest"
)

func TestContract(t *testing.T) {
	providertest.Run(t, providertest.Subject{
		Open: func(t *testing.T) mcs.Provider {
			o := testOptions(t)
			o.Range = netip.MustParsePrefix("127.254.0.0/16")
			return start(t, o)
		},
		Close: func(p mcs.Provider) { p.(*Provider).Close() },
	})
}
