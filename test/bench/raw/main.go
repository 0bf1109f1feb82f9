// Command raw is the floor that benchmarks compare with: net/http reading a review and answering, without a look at it.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"
)

const answer = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"","allowed":true}}`

func main() {
	port := flag.Int("port", 9443, "port to listen at, on loopback")
	dir := flag.String("cert-dir", "", "directory with tls.crt and tls.key")
	flag.Parse()

	server := &http.Server{
		Addr:              net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)),
		Handler:           http.HandlerFunc(serve),
		ReadHeaderTimeout: time.Second,
	}
	log.Fatal(server.ListenAndServeTLS(filepath.Join(*dir, "tls.crt"), filepath.Join(*dir, "tls.key")))
}

func serve(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, answer) // an error means that the client is gone
}
