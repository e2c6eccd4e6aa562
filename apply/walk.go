package apply

// walked is what one look at every object of a Set found: what it wants and what its inventory lists.
type walked struct {
	items    itemList  // all of them but those that are nobody's business any more
	widen    bool      // an object that needs nothing now must be listed
	needs    []need    // what is not as wanted, by ref
	blockers []blocker // what higher waves wait for; only when the Set has several
	leaving  []Change  // what may be deleted, by ref
	dropped  bool      // items has not all that is listed
}

// walk goes through both lists at once: they are sorted, and most often nearly the same.
func (d *setDiffer) walk() *walked {
	w := &walked{}
	objects := d.set.Objects
	var items []Item
	if d.before != nil {
		items = d.before.Items
		w.items.before = items
	}
	for len(objects) > 0 || len(items) > 0 {
		order := 0
		switch {
		case len(objects) == 0:
			order = -1
		case len(items) == 0:
			order = 1
		case items[0].Ref != objects[0].Ref: // cheaper than to compare
			order = items[0].Compare(objects[0].Ref)
		}
		switch {
		case order < 0:
			d.leave(w, items[0])
		case order > 0:
			d.want(w, objects[0], Item{Ref: objects[0].Ref}, false)
		default:
			d.want(w, objects[0], items[0], true)
		}
		if order <= 0 {
			items = items[1:]
		}
		if order >= 0 {
			objects = objects[1:]
		}
	}
	return w
}

// want looks at one object that the Set wants.
func (d *setDiffer) want(w *walked, t *Target, item Item, listed bool) {
	j := d.judge(t, item, listed)
	item.Version = t.Version
	if j.cause == nothing {
		w.widen = w.widen || !listed
		if j.seen && !j.live.Deleting {
			item.UID, item.EntryHash = j.live.UID, j.live.EntryHash
		}
	} else {
		w.needs = append(w.needs, need{j, t, listed})
	}
	w.items.add(item)
	if !d.waved {
		return
	}
	if lack, failed := d.lack(t.Ref, j); lack != "" {
		w.blockers = append(w.blockers, blocker{t.Directives.Wave, t.Ref, lack, failed})
	}
}
