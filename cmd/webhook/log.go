package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/truce-dev/truce/pkg/policy"
)

// The log formats.
const (
	formatJSON    = "json"
	formatConsole = "console"
)

func newLogger(w io.Writer, format string, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == formatConsole {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// routeLibraryLogs sends what libraries log (controller-runtime, klog, net/http through package log) to l. These
// loggers are the process's, and controller-runtime keeps the first one it is given.
func routeLibraryLogs(l *slog.Logger) {
	libraries := demoted{l.Handler()}
	ctrllog.SetLogger(logr.FromSlogHandler(libraries))
	klog.SetLogger(logr.FromSlogHandler(libraries))
	log.SetFlags(0)
	log.SetOutput(&netHTTPLog{log: l, often: rate.Sometimes{First: 3, Interval: time.Minute}})
}

// demoted passes on what libraries consider informative as debugging: what it says of use, Truce says itself.
type demoted struct{ slog.Handler }

func (h demoted) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, demote(level))
}

func (h demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = demote(r.Level)
	return h.Handler.Handle(ctx, r)
}

func (h demoted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoted{h.Handler.WithAttrs(attrs)}
}
func (h demoted) WithGroup(name string) slog.Handler { return demoted{h.Handler.WithGroup(name)} }

func demote(level slog.Level) slog.Level {
	if level < slog.LevelWarn {
		return level - (slog.LevelInfo - slog.LevelDebug)
	}
	return level
}

// netHTTPLog receives the lines that net/http writes about connections. Most tell of probes that connect and go. One
// matters: a client that turns our certificate down, which is how a wrong caBundle shows on this side. As it happens
// with every review then, it is told now and then.
type netHTTPLog struct {
	log   *slog.Logger
	often rate.Sometimes
}

func (w *netHTTPLog) Write(line []byte) (int, error) {
	text, told := string(bytes.TrimSpace(line)), false
	if bytes.Contains(line, []byte("remote error: tls")) {
		w.often.Do(func() {
			told = true
			w.log.Warn("a client refused the certificate: is its caBundle the authority of this server?", "error", text)
		})
	}
	if !told {
		w.log.Debug("message from net/http", "message", text)
	}
	return len(line), nil
}

// logFailure logs an error; the problems of a policy, or of a file of receivers, one by one.
func logFailure(l *slog.Logger, message string, err error, args ...any) {
	var problems policy.Problems
	if !errors.As(err, &problems) {
		l.Error(message, append(args, "error", err)...)
		return
	}
	problem := "problem in the policy"
	if errors.Is(err, errReceivers) {
		problem = "problem in the receivers of notifications"
	}
	for _, p := range problems {
		l.Error(problem, "file", p.File, "line", p.Line, "column", p.Column, "path", p.Path,
			"problem", p.Message)
	}
	l.Error(message, append(args, "problems", len(problems))...)
}
