package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"time"
)

// review is one that would poison the history of an object that its sender may not touch.
const review = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{
	"uid":"1","kind":{"group":"","version":"v1","kind":"ConfigMap"},
	"resource":{"group":"","version":"v1","resource":"configmaps"},"name":"web","namespace":"shop",
	"operation":"UPDATE","userInfo":{"username":"alice"},
	"object":{"metadata":{"name":"web","namespace":"shop","uid":"1","resourceVersion":"7"},"data":{"a":"2"}},
	"oldObject":{"metadata":{"name":"web","namespace":"shop","uid":"1","resourceVersion":"7"},"data":{"a":"1"}}}}`

// Forge sends a review to a webhook that the API server did not send, with a client certificate or without one. It
// verifies the webhook as the API server does, by its name and the caBundle.
func Forge(address, name string, caBundle []byte, certificate ...tls.Certificate) (status int, err error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caBundle)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name, Certificates: certificate}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	resp, err := client.Post("https://"+address+"/validate", "application/json", strings.NewReader(review))
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
