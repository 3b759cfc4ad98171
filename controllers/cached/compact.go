package cached

import (
	"hash/maphash"
	"reflect"
	"sync/atomic"
)

// Objects come from a decoder that makes each text anew and doubles a list whenever it is full: a thousand nodes then hold the names of
// their services thirty thousand times, in lists that are half empty.

// longest is the length of texts that are shared. What is longer is a message, most often of one object alone.
const longest = 128

// texts are those seen last, by hash: one that many objects hold is found here, and one that is held once is soon another's place.
// So the table takes two megabytes at most, however many texts there ever were.
type texts struct {
	seed  maphash.Seed
	table [8192]atomic.Pointer[string]
}

func newTexts() *texts { return &texts{seed: maphash.MakeSeed()} }

// share returns an equal text that others may hold, too.
func (t *texts) share(text string) string {
	if text == "" || len(text) > longest {
		return text
	}
	place := &t.table[maphash.String(t.seed, text)%uint64(len(t.table))]
	if seen := place.Load(); seen != nil && *seen == text {
		return *seen
	}
	place.Store(&text)
	return text
}

// compact makes an object that nobody else has yet smaller, and leaves it equal to what it was.
func (t *texts) compact(v reflect.Value) {
	switch kind := v.Kind(); {
	case kind == reflect.Pointer && !v.IsNil():
		t.compact(v.Elem())
	case kind == reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanSet() { // others are another package's own, such as those of a time
				t.compact(field)
			}
		}
	case kind == reflect.String:
		v.SetString(t.share(v.String()))
	case kind == reflect.Map:
		t.compactMap(v)
	case kind == reflect.Slice:
		t.compactList(v)
	}
}

// compactList cuts off the room that is left in a list. Bytes are left alone: they are decoded to size.
func (t *texts) compactList(v reflect.Value) {
	if v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8 {
		return
	}
	if v.Cap() > v.Len() {
		exact := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(exact, v)
		v.Set(exact)
	}
	for i := range v.Len() {
		t.compact(v.Index(i))
	}
}

// compactMap shares the texts of a map of them, such as labels. The values of others cannot be changed in place.
func (t *texts) compactMap(v reflect.Value) {
	if v.Type().Key().Kind() != reflect.String || v.Type().Elem().Kind() != reflect.String {
		return
	}
	key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
	for i := v.MapRange(); i.Next(); {
		key.SetString(t.share(i.Key().String()))
		value.SetString(t.share(i.Value().String()))
		v.SetMapIndex(key, value) // a key that is there already is replaced by the one that is shared
	}
}
