package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"
)

//go:embed testdata/busy.jsonl
var busy []byte

// What changes from one repetition to the next.
var (
	moving   = regexp.MustCompile(`"resourceVersion":"(\d+)"|"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"|\bshop\b`)
	versions = int64(1000)     // resourceVersions of one repetition
	span     = 6 * time.Second // of one repetition
	shops    = 100             // namespaces
	micro    = "2006-01-02T15:04:05.000000Z"
)

// writeLog writes a log of a size, in bytes.
func writeLog(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	for round := int64(0); size > 0; round++ {
		part := repetition(round)
		if int64(len(part)) > size { // ends with a whole line
			part = part[:bytes.LastIndexByte(part[:size], '\n')+1]
			size = 0
		}
		size -= int64(len(part))
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

var places = moving.FindAllSubmatchIndex(busy, -1)

// repetition returns the sample as it would have been recorded later, in another namespace.
func repetition(round int64) []byte {
	out := make([]byte, 0, len(busy)+len(busy)/16)
	from := 0
	for _, m := range places {
		switch {
		case m[2] >= 0:
			version, _ := strconv.ParseInt(string(busy[m[2]:m[3]]), 10, 64)
			out = append(out, busy[from:m[2]]...)
			out = strconv.AppendInt(out, version+round*versions, 10)
			from = m[3]
		case m[4] >= 0:
			text := string(busy[m[4]:m[5]])
			at, err := time.Parse(time.RFC3339Nano, text)
			if err != nil {
				continue
			}
			layout := time.RFC3339
			if len(text) == len(micro) {
				layout = micro
			}
			out = append(out, busy[from:m[4]]...)
			out = at.Add(time.Duration(round)*span).AppendFormat(out, layout)
			from = m[5]
		default:
			out = append(out, busy[from:m[1]]...)
			out = fmt.Appendf(out, "-%02d", round%int64(shops))
			from = m[1]
		}
	}
	return append(out, busy[from:]...)
}
