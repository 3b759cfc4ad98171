// Package apivalidation tests, on a real API server, what the CRDs accept and
// refuse and that a refusal names the field and the remedy.
package apivalidation
