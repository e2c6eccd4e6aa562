package web

import (
	"net/http"
	"strings"

	"github.com/gitfleet/gitfleet/report"
)

// badge draws a badge for whoever has the token, when one is asked for. To everybody else there is nothing here.
func (s *server) badge(w http.ResponseWriter, r *http.Request) {
	name, isSVG := strings.CutSuffix(r.PathValue("name"), ".svg")
	query := r.URL.Query()
	if !isSVG || name == "" || s.badgeTokens != nil && !s.badgeTokens.read().hold(query.Get("token")) {
		http.NotFound(w, r)
		return
	}
	b := report.BadgeOf(s.latest(), report.BadgeQuestion{Name: name, Cluster: query.Get("cluster"), Placement: query.Get("placement")})
	h := w.Header()
	h.Set("Content-Type", "image/svg+xml")
	h.Set("Cache-Control", "max-age=30") // a page with many readers asks twice a minute
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	// What is unknown is no 404: the image proxies of forges would show a broken image.
	serveTagged(w, r, b.SVG())
}
