package v1alpha1

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// Indexes are places in a list of nodes, counted from 0: as ranges, which is how the status of a Kubernetes Job tells
// completedIndexes ("0-11,13-4999"), or where these would be longer as a bitmap, the lowest bit of the first byte first,
// in base64 ("bits:/wE="). A list of n nodes takes at most n/6 characters and a few. Empty is none.
// +kubebuilder:validation:MaxLength=1024
// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*|bits:[A-Za-z0-9+/]+={0,2})$`
type Indexes string

// bitmap is how Indexes that are no ranges begin.
const bitmap = "bits:"

// IndexesOf returns the places as Indexes, whatever their order.
func IndexesOf(places []int) Indexes {
	if len(places) == 0 {
		return ""
	}
	places = slices.Compact(slices.Sorted(slices.Values(places)))
	last := places[len(places)-1]
	limit := len(bitmap) + base64.StdEncoding.EncodedLen(last/8+1)
	var b strings.Builder
	for i := 0; i < len(places); {
		end := i
		for end+1 < len(places) && places[end+1] == places[end]+1 {
			end++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(places[i]))
		if end > i {
			b.WriteString("-" + strconv.Itoa(places[end]))
		}
		if b.Len() > limit {
			return bitmapOf(places)
		}
		i = end + 1
	}
	return Indexes(b.String())
}

func bitmapOf(sorted []int) Indexes {
	bits := make([]byte, sorted[len(sorted)-1]/8+1)
	for _, place := range sorted {
		bits[place/8] |= 1 << (place % 8)
	}
	return Indexes(bitmap + base64.StdEncoding.EncodeToString(bits))
}

// Of returns the names at these places of the list. What is no place of it, or cannot be read, stands for nothing: the schema
// lets nothing else be written.
func (x Indexes) Of(names []string) (chosen []string) {
	for from, to := range x.ranges(len(names)) {
		chosen = append(chosen, names[from:to]...)
	}
	return chosen
}

// Has reports whether the place is among them.
func (x Indexes) Has(place int) bool {
	for from, to := range x.ranges(place + 1) {
		if from <= place && place < to {
			return true
		}
	}
	return false
}

// ranges yields the places below n: from each first one to before the second.
func (x Indexes) ranges(n int) func(yield func(from, to int) bool) {
	if text, ok := strings.CutPrefix(string(x), bitmap); ok {
		return func(yield func(from, to int) bool) {
			bits, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return
			}
			for place := range min(n, 8*len(bits)) {
				if bits[place/8]&(1<<(place%8)) != 0 && !yield(place, place+1) {
					return
				}
			}
		}
	}
	return func(yield func(from, to int) bool) {
		for part := range strings.SplitSeq(string(x), ",") {
			first, last, isRange := strings.Cut(part, "-")
			if !isRange {
				last = first
			}
			from, err := strconv.Atoi(first)
			to, err2 := strconv.Atoi(last)
			if err != nil || err2 != nil || from < 0 {
				continue
			}
			if to = min(to+1, n); from < to && !yield(from, to) {
				return
			}
		}
	}
}
