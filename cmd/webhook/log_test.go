package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"

	"github.com/truce-dev/truce/pkg/policy"
)

func TestLogFormats(t *testing.T) {
	var b buffer
	newLogger(&b, formatJSON, slog.LevelInfo).Info("policy loaded", "rules", 3)
	if entry := b.wait(t, "policy loaded", 1); entry["rules"] != 3.0 || entry["level"] != "INFO" {
		t.Errorf("JSON: %s", b.String())
	}
	b = buffer{}
	newLogger(&b, formatConsole, slog.LevelInfo).Info("policy loaded", "rules", 3)
	if want := `level=INFO msg="policy loaded" rules=3`; !strings.Contains(b.String(), want) {
		t.Errorf("console: %s", b.String())
	}
	b = buffer{}
	newLogger(&b, formatJSON, slog.LevelWarn).Info("policy loaded")
	if b.String() != "" {
		t.Errorf("below the level: %s", b.String())
	}
}

func TestLibrariesAreQuiet(t *testing.T) {
	tests := []struct {
		name  string
		level slog.Level
		says  func(logr.Logger)
		want  string // level, empty if nothing is logged
	}{
		{"what they consider informative is not for every day", slog.LevelInfo, func(l logr.Logger) { l.Info("m") }, ""},
		{"but there when debugging", slog.LevelDebug, func(l logr.Logger) { l.Info("m") }, "DEBUG"},
		{"what they consider debugging never is", slog.LevelDebug, func(l logr.Logger) { l.V(1).Info("m") }, ""},
		{"their errors stay errors", slog.LevelError, func(l logr.Logger) { l.Error(nil, "m") }, "ERROR"},
		{
			"with names and values too", slog.LevelInfo,
			func(l logr.Logger) { l.WithName("n").WithValues("k", "v").Info("m") }, "",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var b buffer
			test.says(logr.FromSlogHandler(demoted{newLogger(&b, formatJSON, test.level).Handler()}))
			var got string
			for _, entry := range b.entries("m") {
				got = entry["level"].(string)
			}
			if got != test.want {
				t.Errorf("level %q, want %q: %s", got, test.want, b.String())
			}
		})
	}
	t.Run("in groups too", func(t *testing.T) {
		var b buffer
		slog.New(demoted{newLogger(&b, formatJSON, slog.LevelInfo).Handler()}).WithGroup("g").Info("m")
		if b.String() != "" {
			t.Error(b.String())
		}
	})
}

func TestConnectionTroubleIsForDebugging(t *testing.T) {
	for line, want := range map[string]string{
		"http: TLS handshake error from 10.0.0.1:5: EOF\n":                                "DEBUG",
		"http: TLS handshake error from 10.0.0.1:5: remote error: tls: bad certificate\n": "WARN",
	} {
		var b buffer
		l := &netHTTPLog{log: newLogger(&b, formatJSON, slog.LevelDebug), often: rate.Sometimes{First: 1}}
		n, err := l.Write([]byte(line))
		if n != len(line) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
		if !strings.Contains(b.String(), `"level":"`+want+`"`) || !strings.Contains(b.String(), strings.TrimSpace(line)) {
			t.Errorf("%q: %s, want level %s", line, b.String(), want)
		}
		_, _ = l.Write([]byte(line))
		if n := strings.Count(b.String(), `"level":"WARN"`); n > 1 {
			t.Errorf("%q is told %d times", line, n)
		}
	}
}

func TestProblemsAreLoggedOneByOne(t *testing.T) {
	var b buffer
	err := fmt.Errorf("loading the policy: %w", policy.Problems{
		{File: "p.yaml", Line: 3, Column: 7, Path: "mode", Message: "is no mode"},
		{File: "p.yaml", Line: 6, Column: 3, Path: "rules[0].matches", Message: "is unknown"},
	})
	logFailure(newLogger(&b, formatJSON, slog.LevelInfo), "not started", err)
	problems := b.entries("problem in the policy")
	if len(problems) != 2 || problems[1]["path"] != "rules[0].matches" || problems[1]["line"] != 6.0 ||
		problems[1]["column"] != 3.0 || problems[1]["problem"] != "is unknown" || problems[1]["file"] != "p.yaml" {
		t.Errorf("problems: %v", problems)
	}
	if last := b.wait(t, "not started", 1); last["problems"] != 2.0 {
		t.Errorf("summary: %v", last)
	}
}
