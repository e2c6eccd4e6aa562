package report

import "unicode"

// fontUnits is the number of units in an em, in which the advance widths below are given.
const fontUnits = 2048

// latinAdvances are the advance widths of U+0020 to U+007E in DejaVu Sans, whose widths are those of Verdana within a few
// hundredths of an em.
var latinAdvances = [...]uint16{
	651, 821, 942, 1716, 1303, 1946, 1597, 563, 799, 799, 1024, 1716, 651, 739, 651, 690,
	1303, 1303, 1303, 1303, 1303, 1303, 1303, 1303, 1303, 1303, 690, 690, 1716, 1716, 1716, 1087,
	2048, 1401, 1405, 1430, 1577, 1294, 1178, 1587, 1540, 604, 604, 1343, 1141, 1767, 1532, 1612,
	1235, 1612, 1423, 1300, 1251, 1499, 1401, 2025, 1403, 1251, 1403, 799, 690, 799, 1716, 1024,
	1024, 1255, 1300, 1126, 1300, 1260, 721, 1300, 1298, 569, 569, 1186, 569, 1995, 1298, 1253,
	1300, 1300, 842, 1067, 803, 1298, 1212, 1675, 1212, 1212, 1075, 1303, 690, 1303, 1716,
}

// moreLatinAdvances are those of U+00A0 to U+017F: Latin-1 Supplement and Latin Extended-A.
var moreLatinAdvances = [...]uint16{
	651, 821, 1303, 1303, 1303, 1303, 690, 1024, 1024, 2048, 965, 1253, 1716, 739, 2048, 1024,
	1024, 1716, 821, 821, 1024, 1303, 1303, 651, 1024, 821, 965, 1253, 1985, 1985, 1985, 1087,
	1401, 1401, 1401, 1401, 1401, 1401, 1995, 1430, 1294, 1294, 1294, 1294, 604, 604, 604, 604,
	1587, 1532, 1612, 1612, 1612, 1612, 1612, 1716, 1612, 1499, 1499, 1499, 1499, 1251, 1239, 1290,
	1255, 1255, 1255, 1255, 1255, 1255, 2011, 1126, 1260, 1260, 1260, 1260, 569, 569, 569, 569,
	1253, 1298, 1253, 1253, 1253, 1253, 1253, 1716, 1253, 1298, 1298, 1298, 1298, 1212, 1300, 1212,
	1401, 1255, 1401, 1255, 1401, 1255, 1430, 1126, 1430, 1126, 1430, 1126, 1430, 1126, 1577, 1300,
	1587, 1300, 1294, 1260, 1294, 1260, 1294, 1260, 1294, 1260, 1294, 1260, 1587, 1300, 1587, 1300,
	1587, 1300, 1587, 1300, 1540, 1298, 1876, 1423, 604, 569, 604, 569, 604, 569, 604, 569,
	604, 569, 1208, 1138, 604, 569, 1343, 1186, 1186, 1141, 569, 1141, 569, 1141, 768, 1141,
	700, 1151, 582, 1532, 1298, 1532, 1298, 1532, 1298, 1666, 1532, 1298, 1612, 1253, 1612, 1253,
	1612, 1253, 2191, 2095, 1423, 842, 1423, 842, 1423, 842, 1300, 1067, 1300, 1067, 1300, 1067,
	1300, 1067, 1251, 803, 1251, 803, 1251, 803, 1499, 1298, 1499, 1298, 1499, 1298, 1499, 1298,
	1499, 1298, 1499, 1298, 2025, 1675, 1251, 1212, 1251, 1403, 1075, 1403, 1075, 1403, 1075, 721,
}

// The widths of characters that have none in the tables. They are only near, but textLength has the text fit them.
const (
	otherAdvance = 1400      // Greek, Cyrillic, Hebrew, Arabic and most other alphabets, on average
	wideAdvance  = fontUnits // East Asian characters and emoji, which are as wide as high
)

// textWidth returns the width of s on a badge, in pixels. Kerning and ligatures do not count.
func textWidth(s string) float64 {
	units := 0
	for _, r := range s {
		units += advance(r)
	}
	return float64(units) * badgeFontSize / fontUnits
}

// advance returns the advance width of r in font units.
func advance(r rune) int {
	switch {
	case r >= 0x20 && r <= 0x7e:
		return int(latinAdvances[r-0x20])
	case r >= 0xa0 && r <= 0x17f:
		return int(moreLatinAdvances[r-0xa0])
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0 // drawn over its neighbour, or not at all
	case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana), r >= 0x3000 && r <= 0x303f,
		r >= 0xff00 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
		return wideAdvance
	}
	return otherAdvance
}
