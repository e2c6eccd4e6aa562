package api

import (
	"errors"
	"regexp"

	"k8s.io/apimachinery/pkg/api/resource"
)

var errExponent = errors.New("its exponent has more than three digits")

// longExponent finds exponents that no quantity of this world needs.
var longExponent = regexp.MustCompile(`[eE][+-]?[0-9]{4}`)

// ParseQuantity reads a quantity that somebody else wrote. It refuses exponents beyond 999, which resource.ParseQuantity works out
// digit by digit: 1e-10000000 takes it seconds.
func ParseQuantity(s string) (resource.Quantity, error) {
	if longExponent.MatchString(s) {
		return resource.Quantity{}, errExponent
	}
	return resource.ParseQuantity(s)
}
