package roster

import "container/heap"

// queue is the part of a heap that does not depend on its order.
type queue []*node

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	if n, ok := x.(*node); ok {
		*q = append(*q, n)
	}
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	n := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return n
}

// readyQueue has who is to be asked first in front.
type readyQueue struct{ queue }

func (q readyQueue) Less(i, j int) bool { return q.queue[i].before(q.queue[j]) }

// restingQueue has whose rest ends first in front.
type restingQueue struct{ queue }

func (q restingQueue) Less(i, j int) bool { return q.queue[i].due.Before(q.queue[j].due) }

// pop takes the first of a heap that is not empty.
func pop(h heap.Interface) *node {
	n, ok := heap.Pop(h).(*node)
	if !ok {
		panic("not a node")
	}
	return n
}
