package procfile

// statmFile is proc_pid_statm(5): seven numbers of pages.
var statmFile = File{
	Path: "statm", Quick: true, Once: true, Public: true, Same: true,
	Rewrite: func(m *Map, dst, src []byte) ([]byte, bool) { return rewriteFields(dst, src, m.pages), true },
}
