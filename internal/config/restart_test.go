package config

import (
	"reflect"
	"slices"
	"testing"
)

// inForce are the fields that a daemon takes up while it runs.
var inForce = []string{"Policy", "Cache", "Access", "Allocations", "Mentions"}

// Every field of a configuration either is taken up while a daemon runs, or is one that waits.
func TestWaiting(t *testing.T) {
	kind := reflect.TypeFor[Config]()
	for i := range kind.NumField() {
		a, b := Default(), Default()
		f := reflect.ValueOf(b).Elem().Field(i)
		switch f.Kind() {
		case reflect.String:
			f.SetString("other")
		case reflect.Bool:
			f.SetBool(!f.Bool())
		case reflect.Int:
			f.SetInt(7)
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 3, 3))
		case reflect.Map:
			f.Set(reflect.MakeMap(f.Type()))
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case reflect.Struct:
			if g := f.Field(0); g.Kind() == reflect.String {
				g.SetString("other")
			} else if g.CanInt() {
				g.SetInt(7)
			}
		}
		name, keys := kind.Field(i).Name, a.Waiting(b)
		if want := !slices.Contains(inForce, name); want != (len(keys) == 1) {
			t.Errorf("a change of %s waits: %q", name, keys)
		}
	}
}
