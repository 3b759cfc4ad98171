// Package hostile writes into every field that takes text what nobody should
// write there, and proves that nothing of it runs or leaks on the engine.
package hostile
