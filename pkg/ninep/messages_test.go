package ninep

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Messages as text, for transcripts. This is a third codec, which knows no more
// than the manual does and owes nothing to the two under test.
//
//	-> Twalk 3 fid=0 newfid=1 names=["1" "stat"]
//	<- Rwalk 3 qids=[dir:0:2 file:0:*]
//
// ~ is a number of all ones (NOTAG, NOFID), * in an answer is anything.

// layouts are the fields of each message behind its tag, in order. Rread.dir is
// an Rread of a directory.
var layouts = map[string]struct {
	typ    uint8
	fields string
}{
	"Rlerror":      {7, "errno:errno"},
	"Tstatfs":      {8, "fid:u32"},
	"Rstatfs":      {9, "type:u32 bsize:u32 blocks:u64 bfree:u64 bavail:u64 files:u64 ffree:u64 fsid:u64 namelen:u32"},
	"Tlopen":       {12, "fid:u32 flags:oct"},
	"Rlopen":       {13, "qid:qid iounit:u32"},
	"Tlcreate":     {14, "fid:u32 name:str flags:oct mode:oct gid:u32"},
	"Tsymlink":     {16, "dfid:u32 name:str target:str gid:u32"},
	"Tmknod":       {18, "dfid:u32 name:str mode:oct major:u32 minor:u32 gid:u32"},
	"Trename":      {20, "fid:u32 dfid:u32 name:str"},
	"Treadlink":    {22, "fid:u32"},
	"Rreadlink":    {23, "target:str"},
	"Tgetattr":     {24, "fid:u32 mask:u64"},
	"Rgetattr":     {25, "valid:u64 qid:qid mode:oct uid:u32 gid:u32 nlink:u64 rdev:u64 size:u64 blksize:u64 blocks:u64 atime:u64 atimens:u64 mtime:u64 mtimens:u64 ctime:u64 ctimens:u64 btime:u64 btimens:u64 gen:u64 version:u64"},
	"Tsetattr":     {26, "fid:u32 valid:u32 mode:oct uid:u32 gid:u32 size:u64 atime:u64 atimens:u64 mtime:u64 mtimens:u64"},
	"Txattrwalk":   {30, "fid:u32 newfid:u32 name:str"},
	"Txattrcreate": {32, "fid:u32 name:str size:u64 flags:u32"},
	"Treaddir":     {40, "fid:u32 offset:u64 count:u32"},
	"Rreaddir":     {41, "entries:entries"},
	"Tfsync":       {50, "fid:u32 datasync:u32"},
	"Rfsync":       {51, ""},
	"Tlock":        {52, "fid:u32 type:u8 flags:u32 start:u64 length:u64 pid:u32 client:str"},
	"Rlock":        {53, "status:u8"},
	"Tgetlock":     {54, "fid:u32 type:u8 start:u64 length:u64 pid:u32 client:str"},
	"Rgetlock":     {55, "type:u8 start:u64 length:u64 pid:u32 client:str"},
	"Tlink":        {70, "dfid:u32 fid:u32 name:str"},
	"Tmkdir":       {72, "dfid:u32 name:str mode:oct gid:u32"},
	"Trenameat":    {74, "olddirfid:u32 oldname:str newdirfid:u32 newname:str"},
	"Tunlinkat":    {76, "dirfid:u32 name:str flags:u32"},
	"Tversion":     {100, "msize:u32 version:str"},
	"Rversion":     {101, "msize:u32 version:str"},
	"Tauth":        {102, "afid:u32 uname:str aname:str"},
	"Tauth.L":      {102, "afid:u32 uname:str aname:str nuname:u32"},
	"Tattach":      {104, "fid:u32 afid:u32 uname:str aname:str"},
	"Tattach.L":    {104, "fid:u32 afid:u32 uname:str aname:str nuname:u32"},
	"Rattach":      {105, "qid:qid"},
	"Rerror":       {107, "text:str"},
	"Tflush":       {108, "oldtag:u16"},
	"Rflush":       {109, ""},
	"Twalk":        {110, "fid:u32 newfid:u32 names:names"},
	"Rwalk":        {111, "qids:qids"},
	"Topen":        {112, "fid:u32 mode:u8"},
	"Ropen":        {113, "qid:qid iounit:u32"},
	"Tcreate":      {114, "fid:u32 name:str perm:oct mode:u8"},
	"Tread":        {116, "fid:u32 offset:u64 count:u32"},
	"Rread":        {117, "data:data"},
	"Rread.dir":    {117, "stats:stats"},
	"Twrite":       {118, "fid:u32 offset:u64 data:data"},
	"Rwrite":       {119, "count:u32"},
	"Tclunk":       {120, "fid:u32"},
	"Rclunk":       {121, ""},
	"Tremove":      {122, "fid:u32"},
	"Tstat":        {124, "fid:u32"},
	"Rstat":        {125, "stat:stat"},
	"Twstat":       {126, "fid:u32 stat:stat"},
	"Rwstat":       {127, ""},
}

// encodeText is the frame of a message that is written as text.
func encodeText(text string) (frame []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%q: %v", text, p)
		}
	}()
	name, rest, _ := strings.Cut(text, " ")
	layout, ok := layouts[name]
	if !ok {
		return nil, fmt.Errorf("no message %q", name)
	}
	tag, rest, _ := strings.Cut(rest, " ")
	b := begin(nil, layout.typ, uint16(numberOf(tag)))
	for field := range strings.FieldsSeq(layout.fields) {
		key, kind, _ := strings.Cut(field, ":")
		value, ok := strings.CutPrefix(strings.TrimSpace(rest), key+"=")
		if !ok {
			return nil, fmt.Errorf("%q: %s= is missing at %q", text, key, rest)
		}
		b, rest = appendText(b, kind, value)
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		return nil, fmt.Errorf("%q: what is %q?", text, rest)
	}
	return sizeFrame(b, 0), nil
}

// appendText encodes a value at the beginning of text and returns what follows it.
func appendText(b []byte, kind, text string) (frame []byte, rest string) {
	quoted := func() string {
		q, err := strconv.QuotedPrefix(text)
		if err != nil {
			panic(err)
		}
		text = text[len(q):]
		s, _ := strconv.Unquote(q)
		return s
	}
	switch kind {
	case "str":
		return putStr(b, quoted()), text
	case "data":
		return putData(b, []byte(quoted())), text
	case "names":
		text = strings.TrimPrefix(text, "[")
		var names []string
		for !strings.HasPrefix(text, "]") {
			names = append(names, quoted())
			text = strings.TrimPrefix(text, " ")
		}
		b = putU16(b, uint16(len(names)))
		for _, name := range names {
			b = putStr(b, name)
		}
		return b, text[1:]
	case "stat": // of Twstat: one that changes nothing, or the mode
		word, rest, _ := strings.Cut(text, " ")
		mode := uint32(numberOf(strings.Trim(word, "{}")))
		b = putU16(putU16(b, 49), 47)
		b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		b = putU64(putU32(b, 1<<32-1), 1<<64-1)
		b = putU32(putU32(putU32(b, mode), 1<<32-1), 1<<32-1)
		return append(putU64(b, 1<<64-1), make([]byte, 8)...), rest
	}
	word, rest, _ := strings.Cut(text, " ")
	n := numberOf(word)
	switch kind {
	case "u8":
		return append(b, uint8(n)), rest
	case "u16":
		return putU16(b, uint16(n)), rest
	case "u32", "oct":
		return putU32(b, uint32(n)), rest
	}
	return putU64(b, n), rest
}

func numberOf(word string) uint64 {
	if word == "~" {
		return 1<<64 - 1
	}
	n, err := strconv.ParseUint(word, 0, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// decodeText writes a frame as text, as a message of that name if it can be one.
func decodeText(frame []byte, as string) string {
	name := ""
	for n, layout := range layouts {
		if layout.typ == frame[4] && (name == "" || n == as || name != as && n < name) {
			name = n
		}
	}
	if name == "" {
		return fmt.Sprintf("type %d % x", frame[4], frame[5:])
	}
	var b strings.Builder
	c := cursor{b: frame[headerSize:]}
	b.WriteString(name + " " + ones(uint64(binary.LittleEndian.Uint16(frame[5:])), 1<<16-1))
	for field := range strings.FieldsSeq(layouts[name].fields) {
		key, kind, _ := strings.Cut(field, ":")
		b.WriteString(" " + key + "=" + c.text(kind))
	}
	if err := c.end(); err != nil {
		return fmt.Sprintf("%s (%v: % x)", b.String(), err, frame)
	}
	return b.String()
}

func ones(n, all uint64) string {
	if n == all {
		return "~"
	}
	return strconv.FormatUint(n, 10)
}

// text takes a field and writes it.
func (c *cursor) text(kind string) string {
	switch kind {
	case "u8":
		return strconv.Itoa(int(c.u8()))
	case "u32":
		return ones(uint64(c.u32()), 1<<32-1)
	case "oct":
		return fmt.Sprintf("%#o", c.u32())
	case "u64":
		return ones(c.u64(), 1<<64-1)
	case "errno":
		if n := unix.Errno(c.u32()); n != unix.EOPNOTSUPP { // which has two names
			return unix.ErrnoName(n)
		}
		return "EOPNOTSUPP"
	case "str":
		return strconv.Quote(c.str(1 << 16))
	case "data":
		return strconv.Quote(string(c.take(int(c.u32()))))
	case "qid":
		return c.qid().text()
	case "qids":
		return listText(int(c.u16()), func() string { return c.qid().text() })
	case "stat":
		c.u16()
		return c.statText()
	}
	data := cursor{b: c.take(int(c.u32()))}
	defer func() { c.bad = c.bad || data.bad }()
	return listText(1<<20, func() string {
		switch {
		case len(data.b) == 0 || data.bad:
			return ""
		case kind == "stats":
			return data.statText()
		}
		q := data.qid().text()
		data.u64()
		data.u8()
		return data.str(1<<16) + ":" + q
	})
}

func listText(n int, one func() string) string {
	var all []string
	for range n {
		s := one()
		if s == "" {
			break
		}
		all = append(all, s)
	}
	return "[" + strings.Join(all, " ") + "]"
}

func (q qid) text() string {
	typ := map[uint8]string{qidDir: "dir", qidLink: "link", qidFile: "file"}[q.typ]
	return fmt.Sprintf("%s:%d:%d", typ, q.version, q.path)
}

func (c *cursor) statText() string {
	s := cursor{b: c.take(int(c.u16()))}
	s.take(6)
	q, mode, atime, mtime, length := s.qid(), s.u32(), s.u32(), s.u32(), s.u64()
	name, uid, gid, muid := s.str(1<<16), s.str(1<<16), s.str(1<<16), s.str(1<<16)
	c.bad = c.bad || s.end() != nil
	return fmt.Sprintf("{%q %s mode=%#o length=%d %s %s %s atime=%d mtime=%d}", name, q.text(), mode, length, uid, gid, muid, atime, mtime)
}
