// Command etcd is the etcd server, started through the entry point that its
// module exports.
//
// It exists so that this module imports etcd: that makes go.mod pin etcd and
// all it needs, and gives the build a package to name that does not depend on
// where a given etcd release keeps its own main package.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
