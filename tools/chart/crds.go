//go:build tools

// Package tools pins the modules whose custom resource definitions the chart's tests install. They are no tools, but
// what keeps a module in go.mod is that something of it is imported.
package tools

import (
	_ "github.com/cert-manager/cert-manager/pkg/apis/meta"
	_ "github.com/prometheus-operator/prometheus-operator/pkg/versionutil"
)
