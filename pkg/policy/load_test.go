package policy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truce-dev/truce/test/golden"
)

func TestWorkingFilesLoad(t *testing.T) {
	for _, file := range append(glob(t, "testdata/working_*.yaml"), "testdata/nulls.yaml", "default.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if _, err := LoadFile(file); err != nil {
				t.Error(err)
			}
		})
	}
}

// All that is wrong with a file is told at once, and where it is.
func TestBustedFilesAreRefusedWithAllTheirProblems(t *testing.T) {
	for _, file := range glob(t, "testdata/busted_*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Load(data, filepath.Base(file))
			var problems Problems
			if !errors.As(err, &problems) || p != nil {
				t.Fatalf("got policy %v and error %v, want Problems", p, err)
			}
			golden.Check(t, strings.TrimSuffix(file, ".yaml")+".problems", problems.Error()+"\n")
		})
	}
}

func TestAFileThatCannotBeReadIsNoProblemOfThePolicy(t *testing.T) {
	_, err := LoadFile(filepath.Join(t.TempDir(), "none.yaml"))
	var problems Problems
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &problems) {
		t.Errorf("no file: got %v", err)
	}
	if _, err = LoadFile(t.TempDir()); err == nil || errors.As(err, &problems) {
		t.Errorf("a folder: got %v", err)
	}
}
