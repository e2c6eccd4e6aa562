package report

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// The measures of a badge, in pixels.
const (
	badgeHeight   = 20
	badgePadding  = 7 // on both sides of each text
	badgeFontSize = 11
	badgeBaseline = 14
)

// badgeFonts are of nearly the same widths, up to the last, which is any.
const badgeFonts = "Verdana,'DejaVu Sans',Geneva,sans-serif"

// badgeLabelColour is behind the label: dark enough for white text, and far enough from black to be seen on a dark page.
const badgeLabelColour = "#4a535c"

// Colour is what is behind the message: white text on it has a contrast of at least 4.5:1, which WCAG 2 asks for, and it
// stands out from white and from dark pages. The message says the same in words, for whoever sees no colours.
func (b Badge) Colour() string {
	switch b.State {
	case StateSuccess:
		return "#1a7f37"
	case StatePending:
		return "#0969da"
	case StateFailure:
		return "#cf222e"
	case StateError:
		return "#bc4c00"
	}
	return "#6c7580"
}

// InPlace tells whether everything that was asked about is applied and healthy.
func (b Badge) InPlace() bool { return b.State == StateSuccess }

// SVG draws b: two flat halves of one height. A text is as wide as textWidth says; textLength makes the browser keep to
// that in whatever font it has. There are no ids, so that many badges may stand in one document.
func (b Badge) SVG() []byte {
	label, message := textWidth(b.Label), textWidth(b.Message)
	left := int(math.Ceil(label)) + 2*badgePadding
	right := int(math.Ceil(message)) + 2*badgePadding
	title := escapeXML(b.Label + ": " + b.Message)
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d"`, left+right, badgeHeight)
	fmt.Fprintf(&s, ` role="img" aria-label="%s">`+"\n<title>%[1]s</title>\n", title)
	fmt.Fprintf(&s, `<path fill="%s" d="M%d 0H3a3 3 0 0 0-3 3v14a3 3 0 0 0 3 3H%[2]dz"/>`+"\n", badgeLabelColour, left)
	fmt.Fprintf(&s, `<path fill="%s" d="M%d 0h%da3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-%[3]dz"/>`+"\n", b.Colour(), left, right-3)
	fmt.Fprintf(&s, `<g fill="#fff" font-family="%s" font-size="%d" text-rendering="geometricPrecision">`+"\n", badgeFonts, badgeFontSize)
	writeText(&s, badgePadding, label, b.Label)
	writeText(&s, left+badgePadding, message, b.Message)
	s.WriteString("</g>\n</svg>\n")
	return []byte(s.String())
}

func writeText(s *strings.Builder, x int, width float64, text string) {
	if width == 0 {
		return // a textLength of 0 would be an error
	}
	fmt.Fprintf(s, `<text x="%d" y="%d" textLength="%.1f" lengthAdjust="spacingAndGlyphs">`, x, badgeBaseline, width)
	s.WriteString(escapeXML(text) + "</text>\n")
}

// escapeXML makes s fit for text and for attributes. What XML cannot hold becomes U+FFFD.
func escapeXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}
