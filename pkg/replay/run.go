package replay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// Options say how stories are played.
type Options struct {
	// Reviewer makes what one story is played through. It is called once per story, by several goroutines at once.
	Reviewer func() Reviewer
	// Parallel is how many stories are played at once; 0 means as many as there are processors.
	Parallel int
}

// Run plays the stories in files, and in the .yaml and .yml files of folders and the folders in them. A story that
// cannot be read or played is an error in the report; the others are played all the same. The report keeps the order
// of the paths, and that of the alphabet in a folder.
func Run(paths []string, o Options) Report {
	files, problems := find(paths)
	report := Report{Errors: problems}
	type played struct {
		result Result
		err    error
	}
	all := make([]played, len(files))
	next := make(chan int)
	var wait sync.WaitGroup
	for range min(parallel(o), len(files)) {
		wait.Go(func() {
			for i := range next {
				all[i].result, all[i].err = runOne(files[i], o)
			}
		})
	}
	for i := range files {
		next <- i
	}
	close(next)
	wait.Wait()
	for _, p := range all {
		if p.err != nil {
			report.Errors = append(report.Errors, p.err)
		} else {
			report.Results = append(report.Results, p.result)
		}
	}
	return report
}

func parallel(o Options) int {
	if o.Parallel > 0 {
		return o.Parallel
	}
	return runtime.GOMAXPROCS(0)
}

func runOne(file string, o Options) (Result, error) {
	story, err := Load(file)
	if err != nil {
		return Result{}, err
	}
	record, err := Play(story, o.Reviewer())
	if err != nil {
		return Result{}, err
	}
	return Judge(story, record), nil
}

// find lists the files of stories, each once.
func find(paths []string) (files []string, problems []error) {
	seen := make(map[string]bool)
	add := func(path string) {
		if path = filepath.Clean(path); !seen[path] {
			seen[path] = true
			files = append(files, path)
		}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			problems = append(problems, fmt.Errorf("looking for stories: %w", err))
			continue
		}
		if !info.IsDir() {
			add(path)
			continue
		}
		found := 0
		err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && file != path && strings.HasPrefix(entry.Name(), "."):
				return filepath.SkipDir
			case !entry.IsDir() && isStory(entry.Name()):
				found++
				add(file)
			}
			return nil
		})
		if err == nil && found == 0 {
			err = errors.New("no .yaml file in it")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("looking for stories in %s: %w", path, err))
		}
	}
	return files, problems
}

func isStory(name string) bool {
	extension := filepath.Ext(name)
	return !strings.HasPrefix(name, ".") && (extension == ".yaml" || extension == ".yml")
}
