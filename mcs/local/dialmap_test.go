package local

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseDialMap(t *testing.T) {
	tests := map[string]struct {
		text, from, to string // to is empty when from must not be dialed
		err            string
	}{
		"first octet":        {text: "10.0.0.0/8=127.0.0.0/8", from: "10.7.1.2", to: "127.7.1.2"},
		"spaces":             {text: " 10.0.0.0/8 = 127.0.0.0/8 ", from: "10.7.1.2", to: "127.7.1.2"},
		"second of two":      {text: "10.0.0.0/8=127.0.0.0/8,192.168.0.0/16=127.9.0.0/16", from: "192.168.1.2", to: "127.9.1.2"},
		"first wins":         {text: "10.1.0.0/16=127.8.0.0/16,10.0.0.0/8=127.0.0.0/8", from: "10.1.1.2", to: "127.8.1.2"},
		"inside an octet":    {text: "10.64.0.0/10=127.128.0.0/10", from: "10.127.255.254", to: "127.191.255.254"},
		"one address":        {text: "10.0.0.5/32=127.3.3.3/32", from: "10.0.0.5", to: "127.3.3.3"},
		"everything":         {text: "0.0.0.0/0=0.0.0.0/0", from: "10.0.0.5", to: "10.0.0.5"},
		"IPv6":               {text: "fd00::/64=fd01::/64", from: "fd00::5", to: "fd01::5"},
		"not covered":        {text: "10.0.0.0/8=127.0.0.0/8", from: "11.0.0.1"},
		"other family":       {text: "10.0.0.0/8=127.0.0.0/8", from: "fd00::1"},
		"no map":             {text: " ", from: "11.0.0.1", to: "11.0.0.1"},
		"no equals sign":     {text: "10.0.0.0/8", err: "write FROM=TO"},
		"no prefix":          {text: "10.0.0.0=127.0.0.0/8", err: "write a prefix"},
		"host bits":          {text: "10.0.0.1/8=127.0.0.0/8", err: "write 10.0.0.0/8"},
		"lengths differ":     {text: "10.0.0.0/8=127.0.0.0/16", err: "one address family and length"},
		"families differ":    {text: "10.0.0.0/8=fd00::/8", err: "one address family and length"},
		"empty between two":  {text: "10.0.0.0/8=127.0.0.0/8,,10.0.0.0/8=127.0.0.0/8", err: "write FROM=TO"},
		"more than one sign": {text: "10.0.0.0/8=127.0.0.0/8=127.0.0.0/8", err: "write a prefix"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := ParseDialMap(tt.text)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with the remedy %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := dialAddress(m, netip.AddrPortFrom(netip.MustParseAddr(tt.from), 80))
			switch {
			case tt.to == "" && err == nil:
				t.Errorf("%s would be dialed at %s, want a refusal", tt.from, got)
			case tt.to != "" && (err != nil || got != netip.AddrPortFrom(netip.MustParseAddr(tt.to), 80)):
				t.Errorf("%s is dialed at %s, %v; want %s", tt.from, got, err, tt.to)
			}
		})
	}
}

func FuzzParseDialMap(f *testing.F) {
	for _, seed := range []string{"", "10.0.0.0/8=127.0.0.0/8", "fd00::/8=fc00::/8,0.0.0.0/0=1.2.3.4/0", "10.0.0.0/8==,"} {
		f.Add(seed, []byte{10, 1, 2, 3})
	}
	f.Fuzz(func(t *testing.T, text string, address []byte) {
		m, err := ParseDialMap(text)
		a, ok := netip.AddrFromSlice(address)
		if err != nil || !ok {
			return
		}
		got, err := dialAddress(m, netip.AddrPortFrom(a, 1))
		if err == nil && got.Addr().BitLen() != a.BitLen() {
			t.Errorf("%q maps %s to %s, of another family", text, a, got)
		}
		if again, err := ParseDialMap(text); err != nil || len(again) != len(m) {
			t.Errorf("%q read twice gives %v and %v, %v", text, m, again, err)
		}
	})
}

func TestRange(t *testing.T) {
	for text, want := range map[string]string{
		"127.255.0.0/16": "", "127.9.9.0/24": "", "127.255.255.252/30": "",
		"127.255.0.1/16": "host bits", "10.0.0.0/8": "not within 127.0.0.0/8", "127.0.0.0/7": "host bits", "126.0.0.0/7": "not within",
		"127.255.0.0/31": "too small", "127.0.0.0/8": "contains 127.0.0.1", "::/64": "not within",
	} {
		_, err := New(Options{Range: netip.MustParsePrefix(text)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("range %s: error %v, want %q", text, err, want)
		}
	}
}
