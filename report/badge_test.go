package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

const (
	commitInForce = "3f2a1b0c4d5e6f708192a3b4c5d6e7f801234567"
	commitNewer   = "9c8d7e6f5a4b3c2d1e0f3f2a1b0c4d5e6f708192"
)

// twoShops is a fleet of three members where all is well: shop is on a and b, team/web on a, and c holds nothing.
func twoShops() Report {
	rev := source.Revision{Ref: "release/eu", Commit: commitInForce}
	shop, web := placed(on("a", "True", "True", ""), on("b", "True", "True", "")), placed(on("a", "True", "True", ""))
	shop.Name, web.Namespace = "shop", "team"
	return Report{Head: rev, Applied: rev, Converged: true, Placements: []Placement{shop, web},
		Members: []Member{{Name: "a", Joined: "True"}, {Name: "b", Joined: "True"}, {Name: "c", Joined: "True"}}}
}

// but returns twoShops after a change, and not converged.
func but(change func(*Report)) Report {
	r := twoShops()
	r.Converged = false
	change(&r)
	return r
}

func TestBadgeOf(t *testing.T) {
	refused := but(func(r *Report) {
		r.Head.Commit = commitNewer
		r.Errors = []render.ManifestError{{File: "secret/place.yaml", Message: "unknown field"}, {File: "b.yaml", Message: "wrong"}}
	})
	newer := but(func(r *Report) { r.Head.Commit = commitNewer })
	unread := but(func(r *Report) { r.Head.Commit, r.SourceErr = commitNewer, "reset by git.internal" })
	stale := but(func(r *Report) { r.SourceErr = "reset by git.internal" })
	failing := but(func(r *Report) {
		r.Placements[0].Clusters[1] = on("b", "False", "Unknown", "denied")
	})
	rollout := but(func(r *Report) { r.Placements[0].Clusters[0].Healthy = "False" })
	crashing := but(func(r *Report) {
		c := &r.Placements[0].Clusters[0]
		c.Healthy, c.Objects = "False", []PlacedObject{{Ref: api.Ref{Kind: "Deployment"}, Health: apply.Health{Status: apply.Failed}}}
	})
	applyingIt := but(func(r *Report) {
		r.Placements[0].Clusters[0] = applying(on("a", "Unknown", "Unknown", "being applied"))
	})
	away := but(func(r *Report) { r.Members[0].Joined = "Unknown" })
	awayIdle := but(func(r *Report) { r.Members[2].Joined = "False" })
	silent := but(func(r *Report) { r.Placements[0].Clusters = r.Placements[0].Clusters[:1] })
	unfilled := but(func(r *Report) {
		r.Placements[0].Decision.Scheduled.Status, r.Placements[0].Decision.Unfilled = "False", 2
	})
	undecided := but(func(r *Report) { r.Placements[0].Decision = placement.Decision{} })
	removing := but(func(r *Report) {
		r.Removing, r.Removals = 1, []Removal{{Cluster: "b", Placement: "old", Reason: "finalizer"}}
	})
	confirm := but(func(r *Report) { r.Removing, r.Confirm = 30, &Confirmation{Digest: "sha256:1"} })
	disputed := but(func(r *Report) { r.Errors = []render.ManifestError{{Message: "two placements"}} })
	busy := but(func(*Report) {})
	nowhere := but(func(r *Report) { r.Placements[1].Clusters, r.Placements[1].Decision.Verdicts = nil, nil })
	starting := Report{Head: source.Revision{Ref: "release/eu", Commit: commitNewer}}
	alone := Report{Head: twoShops().Head, Applied: twoShops().Head, Converged: true}
	for _, tt := range []struct {
		name   string
		report Report
		ask    BadgeQuestion
		want   string // label | message, state
	}{
		{"the branch, all well", twoShops(), BadgeQuestion{Name: "release/eu"}, "fleet | 3/3 in place, success"},
		{"without a name the branch is meant", twoShops(), BadgeQuestion{}, "fleet | 3/3 in place, success"},
		{"a branch may be written in full", twoShops(), BadgeQuestion{Name: "refs/heads/release/eu"}, "fleet | 3/3 in place, success"},
		{"a cluster counts its placements", twoShops(), BadgeQuestion{Cluster: "a"}, "a | 2/2 in place, success"},
		{"a placement counts its clusters", twoShops(), BadgeQuestion{Placement: "shop"}, "shop | 2/2 in place, success"},
		{"a placement in a namespace", twoShops(), BadgeQuestion{Placement: "team/web"}, "team/web | 1/1 in place, success"},
		{"one placement on one cluster needs no figures", twoShops(), BadgeQuestion{Cluster: "b", Placement: "shop"}, "shop on b | in place, success"},
		{"a placement is elsewhere", twoShops(), BadgeQuestion{Cluster: "c", Placement: "shop"}, "shop on c | not placed, "},
		{"a cluster holds nothing", twoShops(), BadgeQuestion{Cluster: "c"}, "c | no placements, "},
		{"a placement is on no cluster", nowhere, BadgeQuestion{Placement: "team/web"}, "team/web | on no cluster, "},
		{"a fleet without members", alone, BadgeQuestion{}, "fleet | no members, "},

		{"a commit, said with its first digits", twoShops(), BadgeQuestion{Name: "3f2a1b0"}, "fleet at 3f2a1b0 | 3/3 in place, success"},
		{"a whole commit is cut, in any case of letters", twoShops(), BadgeQuestion{Name: strings.ToUpper(commitInForce), Cluster: "a"}, "a at 3F2A1B0C4D5E | 2/2 in place, success"},
		{"too few digits name no commit", twoShops(), BadgeQuestion{Name: "3f2a1b"}, "fleet | unknown branch or commit, "},
		{"another commit", twoShops(), BadgeQuestion{Name: commitNewer}, "fleet | unknown branch or commit, "},
		{"another branch", twoShops(), BadgeQuestion{Name: "release", Cluster: "a"}, "cluster | unknown branch or commit, "},
		{"a cluster nobody knows is not repeated", twoShops(), BadgeQuestion{Cluster: "<b>x"}, "cluster | unknown, "},
		{"nor is a placement", twoShops(), BadgeQuestion{Placement: "web", Cluster: "a"}, "placement | unknown, "},

		{"before the first look", Report{}, BadgeQuestion{Name: "release/eu"}, "fleet | no commit seen yet, pending"},
		{"the first look fails", Report{SourceErr: "reset by git.internal"}, BadgeQuestion{}, "fleet | repository error, error"},
		{"the first commit is being rendered: nothing vouches for names", starting, BadgeQuestion{Cluster: "x"}, "cluster | in progress, pending"},
		{"the newest commit is not in force yet", newer, BadgeQuestion{Name: "release/eu"}, "fleet | in progress, pending"},
		{"the one in force is what it is meanwhile", newer, BadgeQuestion{Name: "3f2a1b0"}, "fleet at 3f2a1b0 | 3/3 in place, success"},
		{"the newest is refused", refused, BadgeQuestion{Name: "release/eu"}, "fleet | refused, 2 errors, failure"},
		{"it is so for a cluster too", refused, BadgeQuestion{Name: "9c8d7e6", Cluster: "a"}, "a at 9c8d7e6 | refused, 2 errors, failure"},
		{"the one in force is not", refused, BadgeQuestion{Name: "3f2a1b0"}, "fleet at 3f2a1b0 | 3/3 in place, success"},
		{"the newest cannot be rendered", unread, BadgeQuestion{}, "fleet | repository error, error"},
		{"the branch may be further than known", stale, BadgeQuestion{}, "fleet | 3/3 in place, repository error, error"},
		{"a commit stays what it is", stale, BadgeQuestion{Name: "3f2a1b0"}, "fleet at 3f2a1b0 | 3/3 in place, success"},

		{"one fails: the fleet", failing, BadgeQuestion{}, "fleet | 2/3 in place, 1 failing, failure"},
		{"one fails: its cluster", failing, BadgeQuestion{Cluster: "b"}, "b | 0/1 in place, 1 failing, failure"},
		{"one fails: another cluster", failing, BadgeQuestion{Cluster: "a"}, "a | 2/2 in place, success"},
		{"one fails: both", failing, BadgeQuestion{Cluster: "b", Placement: "shop"}, "shop on b | failing, failure"},
		{"a rollout has not failed", rollout, BadgeQuestion{Placement: "shop"}, "shop | 1/2 in place, 1 in progress, pending"},
		{"an object that failed has", crashing, BadgeQuestion{Placement: "shop"}, "shop | 1/2 in place, 1 failing, failure"},
		{"being applied", applyingIt, BadgeQuestion{}, "fleet | 2/3 in place, 1 in progress, pending"},
		{"nothing is known of a chosen cluster yet", silent, BadgeQuestion{}, "fleet | 2/3 in place, 1 in progress, pending"},
		{"a member is away, whatever was last seen there", away, BadgeQuestion{}, "fleet | 2/3 in place, 1 not reached, error"},
		{"a member is away: both", away, BadgeQuestion{Cluster: "a", Placement: "shop"}, "shop on a | not reached, error"},
		{"a member that holds nothing is away", awayIdle, BadgeQuestion{}, "fleet | 2/3 in place, 1 not reached, error"},
		{"that member itself", awayIdle, BadgeQuestion{Cluster: "c"}, "c | not reached, error"},
		{"a placement lacks clusters", unfilled, BadgeQuestion{Placement: "shop"}, "shop | 2/4 in place, 2 not scheduled, failure"},
		{"the fleet then counts placements", unfilled, BadgeQuestion{}, "fleet | 3/3 in place, 1 placement not scheduled, failure"},
		{"its clusters have nothing to do with it", unfilled, BadgeQuestion{Cluster: "a"}, "a | 2/2 in place, success"},
		{"not decided is not refused", undecided, BadgeQuestion{Placement: "shop"}, "shop | 0/1 in place, 1 in progress, pending"},
		{"not decided: the fleet", undecided, BadgeQuestion{}, "fleet | 3/3 in place, 1 in progress, pending"},
		{"something old is still there", removing, BadgeQuestion{}, "fleet | 3/3 in place, removing, pending"},
		{"something old: its cluster", removing, BadgeQuestion{Cluster: "b"}, "b | 1/1 in place, removing, pending"},
		{"something old: another cluster", removing, BadgeQuestion{Cluster: "a"}, "a | 2/2 in place, success"},
		{"a person is asked", confirm, BadgeQuestion{}, "fleet | 3/3 in place, waits for a person, pending"},
		{"what is in force is in dispute", disputed, BadgeQuestion{}, "fleet | 3/3 in place, 1 error, failure"},
		{"what no figure shows", busy, BadgeQuestion{}, "fleet | 3/3 in place, in progress, pending"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := BadgeOf(tt.report, tt.ask)
			if got := fmt.Sprintf("%s | %s, %s", b.Label, b.Message, b.State); got != tt.want {
				t.Errorf("the badge for %+v is\n%q, want\n%q", tt.ask, got, tt.want)
			}
			if want := strings.Contains(tt.want, "unknown"); b.Unknown != want {
				t.Errorf("for %+v, Unknown is %t, want %t", tt.ask, b.Unknown, want)
			}
		})
	}
}

// TestBadgeNamesNothing asks every kind of question about a report full of names and wants none of them back but its own.
func TestBadgeNamesNothing(t *testing.T) {
	r := but(func(r *Report) {
		r.SourceErr, r.HubErr = "private-words", "private-words"
		r.Members = append(r.Members, Member{Name: "private-words", Joined: "Unknown", Message: "private-words"})
		p := placed(on("private-words", "False", "Unknown", "private-words"))
		p.Name, p.Err = "private-words", "private-words"
		r.Placements = append(r.Placements, p)
		r.Errors = []render.ManifestError{{File: "private-words", Message: "private-words"}}
		r.Removals = []Removal{{Cluster: "private-words", Placement: "private-words", Reason: "private-words"}}
		r.Confirm = &Confirmation{Message: "private-words"}
		r.Head.Subject, r.Applied.Subject, r.Head.Repo = "private-words", "private-words", "private-words"
	})
	for _, name := range []string{"", "release/eu", "3f2a1b0", "nothing"} {
		for _, cluster := range []string{"", "a", "b", "c", "nothing"} {
			for _, placement := range []string{"", "shop", "team/web", "nothing"} {
				b := BadgeOf(r, BadgeQuestion{Name: name, Cluster: cluster, Placement: placement})
				if strings.Contains(string(b.SVG()), "private-words") || strings.Contains(b.Label, "nothing") {
					t.Errorf("asked for %q %q %q, the badge says more: %+v", name, cluster, placement, b)
				}
			}
		}
	}
}

func TestTextWidth(t *testing.T) {
	for _, tt := range []struct {
		reason string
		text   string
		units  int // widths of DejaVu Sans, of which an em is 2048
	}{
		{"nothing", "", 0},
		{"the first and the last of the first table", " ~", 651 + 1716},
		{"the first and the last of the second", "\u00a0ſ", 651 + 721},
		{"letters differ", "mil", 1995 + 569 + 569},
		{"capitals and umlauts", "Zür", 1403 + 1298 + 842},
		{"other alphabets by their average", "Жλ", 2 * 1400},
		{"East Asian characters are wide", "舰隊", 2 * 2048},
		{"so are emoji", "🚢", 2048},
		{"an accent of its own takes no room", "e\u0301", 1260},
		{"what is no text counts like what stands for it", "\xff", 1400},
	} {
		if got, want := textWidth(tt.text), float64(tt.units)*11/2048; math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %q is %.2f wide, want %.2f", tt.reason, tt.text, got, want)
		}
	}
}

// drawn is what a reader of the SVG gets.
type drawn struct {
	Width int    `xml:"width,attr"`
	Role  string `xml:"role,attr"`
	Name  string `xml:"aria-label,attr"`
	Title string `xml:"title"`
	Paths []struct {
		Fill string `xml:"fill,attr"`
	} `xml:"path"`
	Texts []struct {
		X      float64 `xml:"x,attr"`
		Length float64 `xml:"textLength,attr"`
		Text   string  `xml:",chardata"`
	} `xml:"g>text"`
}

func parseSVG(t *testing.T, svg []byte) drawn {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, svg)
		}
	}
	var out drawn
	if err := xml.Unmarshal(svg, &out); err != nil {
		t.Fatalf("%v\n%s", err, svg)
	}
	return out
}

func TestBadgeSVG(t *testing.T) {
	b := Badge{Label: "fleet", Message: `12/12 <in> "place" & more`, State: StateSuccess}
	got := parseSVG(t, b.SVG())
	if want := b.Label + ": " + b.Message; got.Title != want || got.Name != want || got.Role != "img" {
		t.Errorf("a screen reader gets title %q, name %q and role %q, want %q twice and img", got.Title, got.Name, got.Role, want)
	}
	if len(got.Texts) != 2 || got.Texts[0].Text != b.Label || got.Texts[1].Text != b.Message {
		t.Fatalf("the texts are %+v", got.Texts)
	}
	end := 0.0
	for _, text := range got.Texts {
		if text.X < end+badgePadding {
			t.Errorf("%q begins at %.1f, nearer than %d to %.1f", text.Text, text.X, badgePadding, end)
		}
		end = text.X + text.Length
	}
	if room := float64(got.Width) - end; room < badgePadding-0.1 || room > badgePadding+1.1 {
		t.Errorf("the badge of width %d ends %.1f after its text, want %d", got.Width, room, badgePadding)
	}
	if empty := parseSVG(t, (Badge{}).SVG()); len(empty.Texts) != 0 {
		t.Errorf("an empty badge has the texts %+v", empty.Texts)
	}
}

// TestBadgeColours measures contrast as WCAG 2.2 defines it.
func TestBadgeColours(t *testing.T) {
	luminance := func(colour string) float64 {
		n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 24)
		if err != nil {
			t.Fatalf("colour %q: %v", colour, err)
		}
		part := func(shift int) float64 {
			if c := float64(n>>shift&0xff) / 255; c > 0.04045 {
				return math.Pow((c+0.055)/1.055, 2.4)
			} else {
				return c / 12.92
			}
		}
		return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
	}
	contrast := func(a, b string) float64 {
		la, lb := luminance(a), luminance(b)
		return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
	}
	backgrounds := map[string]string{"label": badgeLabelColour}
	for _, s := range []State{StateSuccess, StatePending, StateFailure, StateError, ""} {
		c := Badge{State: s}.Colour()
		for other, used := range backgrounds {
			if used == c {
				t.Errorf("state %q looks like %q", s, other)
			}
		}
		backgrounds["state "+string(s)] = c
	}
	for what, c := range backgrounds {
		if got := contrast("#ffffff", c); got < 4.5 {
			t.Errorf("white text on %s (%s) has contrast %.2f, want 4.5", what, c, got)
		}
		if got := contrast("#0d1117", c); got < 2 {
			t.Errorf("%s (%s) on a dark page has contrast %.2f, want 2", what, c, got)
		}
	}
}

func FuzzBadgeSVG(f *testing.F) {
	f.Add("fleet", "12/12 in place")
	f.Add(`"'<&>]]>`, "\x00\x1b\xff\ufffe\n\t")
	f.Add("e\u0301\u202e", "艦🚢<!--")
	f.Add("", "</text></svg>")
	f.Fuzz(func(t *testing.T, label, message string) {
		got := parseSVG(t, Badge{Label: label, Message: message, State: State(message)}.SVG())
		if got.Width < 4*badgePadding || len(got.Texts) > 2 || len(got.Paths) != 2 {
			t.Errorf("%q, %q draw %+v", label, message, got)
		}
	})
}
