package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
)

// rootsModule is where the image's CA certificates come from.
const rootsModule = "golang.org/x/crypto/x509roots/fallback"

// sbom lists, as CycloneDX, the modules that the binaries say they are built of, and where the CA certificates are from.
func (b *builder) sbom(binaries []string) ([]byte, error) {
	components := map[string]cyclonedx.Component{}
	add := func(kind cyclonedx.ComponentType, path, version, sum string) {
		purl := fmt.Sprintf("pkg:golang/%s@%s", path, version)
		c := cyclonedx.Component{BOMRef: purl, Type: kind, Name: path, Version: version, PackageURL: purl}
		if sum != "" {
			c.Properties = &[]cyclonedx.Property{{Name: "go.sum", Value: sum}}
		}
		components[purl] = c
	}
	for _, path := range binaries {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading what %s is made of: %w", path, err)
		}
		add(cyclonedx.ComponentTypeLibrary, "stdlib", strings.TrimPrefix(info.GoVersion, "go"), "")
		for _, d := range info.Deps {
			if d.Replace != nil {
				d = d.Replace
			}
			add(cyclonedx.ComponentTypeLibrary, d.Path, d.Version, d.Sum)
		}
	}
	version, sum, err := ownDependency(rootsModule)
	if err != nil {
		return nil, err
	}
	add(cyclonedx.ComponentTypeData, rootsModule, version, sum)

	all := make([]cyclonedx.Component, 0, len(components))
	refs := make([]string, 0, len(components))
	for _, c := range components {
		all, refs = append(all, c), append(refs, c.BOMRef)
	}
	slices.SortFunc(all, func(a, b cyclonedx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	slices.Sort(refs)
	self := fmt.Sprintf("pkg:oci/truce@%s", b.version)
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{
		Timestamp: b.time.Format(time.RFC3339),
		Component: &cyclonedx.Component{
			BOMRef: self, Type: cyclonedx.ComponentTypeContainer, Name: "truce", Version: b.version,
			Licenses:   &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}},
			Properties: &[]cyclonedx.Property{{Name: "revision", Value: b.revision}},
		},
	}
	bom.Components = &all
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: self, Dependencies: &refs}}
	// The same release has the same number.
	n := sha256.Sum256([]byte(b.version + b.revision + strings.Join(refs, "")))
	n[6], n[8] = n[6]&0x0f|0x80, n[8]&0x3f|0x80
	bom.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", n[:4], n[4:6], n[6:8], n[8:10], n[10:16])
	var buf bytes.Buffer
	if err := cyclonedx.NewBOMEncoder(&buf, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
