module github.com/truce-dev/truce/test/browser

go 1.26.0

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
	github.com/truce-dev/truce v0.0.0
)

require github.com/go-json-experiment/json v1.27.2 // indirect

replace github.com/truce-dev/truce => ../..
