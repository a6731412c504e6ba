package userdb

import "context"

// Payer says on whose account what is held for a user is, where there are limits by user:
// the owner of a subordinate id, else the user; and whether the database has them. It
// decides no rights. The files of subordinate ids are asked first: to ask the database
// about each of 65536 ids takes long.
func (d *DB) Payer(uid uint32) (owner uint32, named bool) {
	if name, ok := d.Subordinate(uid); ok && uid != 0 {
		if u, err := d.User(context.Background(), name); err == nil && u.UID != 0 {
			return u.UID, true
		}
	}
	_, err := d.ByUID(context.Background(), uid)
	return uid, err == nil
}
