package service

import (
	"testing"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/mcs/providertest"
)

func TestContract(t *testing.T) {
	providertest.Run(t, providertest.Subject{Open: func(*testing.T) mcs.Provider { return New() }})
}
