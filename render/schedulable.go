package render

// Schedulable returns the placements and the members among objects, both sorted, and every mistake that Compose would find in
// them alone. Nothing is selected and no dependency followed: what they refer to need not be there.
func Schedulable(objects []Object) ([]Placement, []Member, ManifestErrors) {
	d := &Desired{}
	objects, errs := prepare(objects)
	errs = append(errs, check(objects)...)
	for _, o := range objects {
		if err := d.add(o); err != nil {
			errs = append(errs, *err)
		}
	}
	d.sort()
	d.direct()
	for _, m := range d.Members {
		errs = append(errs, checkMember(m)...)
	}
	scopes := scopesOf(objects)
	for _, p := range d.Placements {
		errs = append(errs, checkPlacement(p, scopes)...)
	}
	errs = fold(MergeErrors(errs))
	blame(errs, objects)
	return d.Placements, d.Members, errs
}
