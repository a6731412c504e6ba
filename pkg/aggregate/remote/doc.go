// Package remote is what is on a node, as objects of the vfs: directories, files and links of
// its /proc, for one viewer.
//
// What a table has is served from it, in the form that the viewer may have (proctable.Visibility);
// what the policy lets be cached comes from the store; all else is read at the node at each
// open, with the requester's rights. The files of a process of the merged tree are rewritten
// for the reader's machine, and name no process that the viewer may not know of.
//
// Each request asks the viewer whether the object exists now (view.Viewer.Admits); an object
// holds no table and no bytes, so that a front may keep it for long.
package remote
