package kustomize

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

// kustomization is one directory's kustomization file.
type kustomization struct {
	dir  string // slash-separated, real; "." for the repository's root
	file string
	types.Kustomization
	refs []reference
}

// reference is one place where a kustomization names something else by path.
type reference struct {
	field string
	path  string // as written
	role  role
}

// role is what a reference may lead to.
type role int

const (
	resource  role = iota // a file of objects, or a directory with a kustomization
	component             // a directory with a kustomization of kind Component
	config                // configuration of kustomize itself: a file, or a directory with a kustomization
	data                  // a file read as it is
	patch                 // a file of YAML or JSON patches
)

// kustomizationFile returns the path of dir's kustomization file, "" if it has none.
func kustomizationFile(t *tree, dir string) (string, error) {
	var found []string
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		if file := path.Join(dir, name); t.Exists(file) && !t.IsDir(file) {
			found = append(found, file)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	default:
		return found[0], fmt.Errorf("the directory has %s too; keep one of them", path.Base(found[1]))
	}
}

// load reads the kustomization of dir; nil without mistakes means that dir has none.
func load(t *tree, dir string) (*kustomization, render.ManifestErrors) {
	file, err := kustomizationFile(t, dir)
	if err != nil {
		return nil, render.ManifestErrors{{File: file, Message: err.Error()}}
	}
	if file == "" {
		return nil, nil
	}
	content, err := t.ReadFile(file)
	if err != nil {
		return nil, render.ManifestErrors{{File: file, Message: reason(err)}}
	}
	docs, errs := parse(file, content)
	at := mistakeAt{file: file, document: 1}
	switch {
	case len(errs) > 0:
		return nil, errs
	case len(docs) != 1:
		return nil, render.ManifestErrors{at.mistake("", "must hold exactly one YAML document, not %d", len(docs))}
	}
	k := &kustomization{dir: dir, file: file}
	if err := k.Unmarshal(content); err != nil {
		return nil, fieldMistakes(at, docs[0], err)
	}
	k.refs = references(k.Kustomization)
	k.FixKustomization()
	for _, problem := range k.EnforceFields() {
		errs = append(errs, at.mistake("kind", "%s", problem))
	}
	return k, errs
}

// fieldMistakes says which fields of a kustomization made kustomize refuse it with err.
func fieldMistakes(at mistakeAt, doc document, err error) render.ManifestErrors {
	var errs render.ManifestErrors
	var content map[string]any
	if raw, jsonErr := toJSON(doc.node); jsonErr == nil && decodeObject(raw, &content) == nil {
		for _, f := range api.CheckFields(content, types.Kustomization{}) {
			errs = append(errs, at.mistake(f.Field, "%s", f.Message))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, at.mistake("", "%s", clean(err)))
	}
	return errs
}

// references lists what k names by path.
func references(k types.Kustomization) []reference {
	refs := slices.Concat(
		each(resource, "resources", k.Resources),
		//lint:ignore SA1019 deprecated, and still written by authors
		each(resource, "bases", k.Bases),
		each(component, "components", k.Components),
		each(data, "crds", k.Crds),
		each(data, "configurations", k.Configurations),
		each(config, "generators", k.Generators),
		each(config, "transformers", k.Transformers),
		each(config, "validators", k.Validators),
		//lint:ignore SA1019 deprecated, and still written by authors
		each(patch, "patchesStrategicMerge", k.PatchesStrategicMerge),
		patches("patches", k.Patches),
		//lint:ignore SA1019 deprecated, and still written by authors
		patches("patchesJson6902", k.PatchesJson6902),
	)
	for i, r := range k.Replacements {
		if r.Path != "" {
			refs = append(refs, reference{fmt.Sprintf("replacements[%d].path", i), r.Path, data})
		}
	}
	for i, g := range k.ConfigMapGenerator {
		refs = append(refs, sources(fmt.Sprintf("configMapGenerator[%d]", i), g.KvPairSources)...)
	}
	for i, g := range k.SecretGenerator {
		refs = append(refs, sources(fmt.Sprintf("secretGenerator[%d]", i), g.KvPairSources)...)
	}
	if p := k.OpenAPI["path"]; p != "" {
		refs = append(refs, reference{"openapi.path", p, data})
	}
	return refs
}

// each makes references of a list of paths. In some lists an entry may be the text itself instead of a path to it.
func each[S ~string](r role, field string, paths []S) []reference {
	var refs []reference
	for i, p := range paths {
		if text := strings.Contains(string(p), "\n"); !text || r != config && r != patch {
			refs = append(refs, reference{field: fmt.Sprintf("%s[%d]", field, i), path: string(p), role: r})
		}
	}
	return refs
}

func patches(field string, list []types.Patch) []reference {
	var refs []reference
	for i, p := range list {
		if p.Path != "" {
			refs = append(refs, reference{fmt.Sprintf("%s[%d].path", field, i), p.Path, patch})
		}
	}
	return refs
}

// sources lists the files of a generator. A file may be written as key=path.
func sources(at string, s types.KvPairSources) []reference {
	var refs []reference
	for i, f := range s.FileSources {
		if _, after, ok := strings.Cut(f, "="); ok {
			f = after
		}
		refs = append(refs, reference{fmt.Sprintf("%s.files[%d]", at, i), f, data})
	}
	for i, f := range s.EnvSources {
		refs = append(refs, reference{fmt.Sprintf("%s.envs[%d]", at, i), f, data})
	}
	if s.EnvSource != "" {
		refs = append(refs, reference{at + ".env", s.EnvSource, data})
	}
	return refs
}

// remoteUser matches the user of an scp-like address, user@host:path, as kustomize does.
var remoteUser = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]*@`)

// remote is true for paths that kustomize would fetch with git or HTTP, whatever the file system holds. The rules are
// those of its RepoSpec: a scheme, a user, or GitHub's host.
func remote(p string) bool {
	p = strings.ToLower(p)
	p = strings.TrimPrefix(p, "git::")
	return strings.Contains(p, "://") || strings.HasPrefix(p, "http:") || strings.HasPrefix(p, "https:") ||
		remoteUser.MatchString(p) || strings.HasPrefix(p, "github.com/") || strings.HasPrefix(p, "github.com:")
}

// reason says in an author's words why a path cannot be read.
func reason(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist"
	case errors.Is(err, errEscapes):
		return "leads out of the repository"
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// quoted is how kustomize prints the text of patches and configurations.
var quoted = regexp.MustCompile("`[^`]*`|from \\[.*\\]")

// clean shortens an error of kustomize to one line. Some of its errors print the whole object, which may be a Secret, so
// everything from the object on is cut off.
func clean(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	text = quoted.ReplaceAllString(text, "…")
	// The JSON library words its errors differently from process to process, on purpose; a report must not change so.
	text = strings.ReplaceAll(text, "json: unable to", "json: cannot")
	for _, mark := range []string{" in object {", " in object apiVersion", " from {", " in {", "map[", "{{", " in object "} {
		if i := strings.Index(text, mark); i > 0 {
			text = text[:i]
		}
	}
	if len(text) > 600 {
		text = text[:600] + " …"
	}
	return text
}
