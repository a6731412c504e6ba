package userdb

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest name, in bytes: useradd(8) allows 256, LDAP more, and
// names are elements of paths.
const maxName = 255

// validName tells whether name may be asked for: it can be in the user
// database, and is neither an option nor a number to getent, whose numbers are
// those of strtoul(3), with blanks and a sign before them.
func validName(name string) bool {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		return false
	}
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == ':' || r == '/' }) {
		return false
	}
	return strings.TrimSpace(name) == name && name[0] != '-' && name[0] != '+' && strings.Trim(name, "0123456789") != ""
}

// number tells whether text is a number in decimal as one writes it, and which.
func number(text string) (uint32, bool) {
	n, err := id(text)
	return n, err == nil && strconv.FormatUint(uint64(n), 10) == text
}

// id reads a user's or group's number.
func id(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no id", text)
	}
	if n == math.MaxUint32 {
		return 0, fmt.Errorf("the id %d is nobody's", n)
	}
	return uint32(n), nil
}

func ids(texts []string) ([]uint32, error) {
	all := make([]uint32, len(texts))
	for i, text := range texts {
		n, err := id(text)
		if err != nil {
			return nil, err
		}
		all[i] = n
	}
	return all, nil
}

func newUser(name, uid, gid string) (u User, err error) {
	if !validName(name) {
		return u, fmt.Errorf("%q is no user's name", name)
	}
	if u.UID, err = id(uid); err != nil {
		return User{}, err
	}
	if u.GID, err = id(gid); err != nil {
		return User{}, err
	}
	u.Name = name
	return u, nil
}

// parse reads getent's answer: a line as in passwd(5) or group(5), or a name
// and the numbers of groups.
func parse(q question, out string) (a answer, err error) {
	line, _, _ := strings.Cut(out, "\n")
	if q.kind == groupsOf {
		numbers, ours := strings.CutPrefix(line, q.key)
		if !ours || strings.TrimLeft(numbers, " ") == numbers && numbers != "" {
			return a, fmt.Errorf("%q are not the groups of %q", shorten(line), q.key)
		}
		a.groups, err = ids(strings.Fields(numbers))
		return a, err
	}
	fields := strings.Split(line, ":")
	if len(fields) < 4 {
		return a, fmt.Errorf("%q is no entry of the user database", shorten(line))
	}
	switch q.kind {
	case userByName, userByID:
		a.user, err = newUser(fields[0], fields[2], fields[3])
	default:
		a.gid, err = id(fields[2])
	}
	if err == nil && (q.kind == userByID || q.kind == groupByID) && fields[2] != q.key {
		return answer{}, errors.New("the answer is for " + shorten(fields[2]))
	}
	return a, err
}

// shorten is text for an error.
func shorten(text string) string {
	const most = 80
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
