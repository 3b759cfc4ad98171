package claim

// none marks an index that points nowhere.
const none = int32(-1)

// graph is the bipartite graph of free needs (slots) and hosts. Slots of one class share their edges, so a search
// reads each class's edges once, however many slots the class has.
type graph struct {
	classOf []*lane // by slot
	lanes   []*lane
	hostOf  []int32 // by slot; none when unmatched
	slotOf  []int32 // by host; none when unmatched
	layerOf []int32 // by host, in the current phase; none when not reached
	queue   []int32
}

// lane is a class during matching.
type lane struct {
	*class
	layer  int32 // in the current phase; none when not reached
	cursor int   // next edge to try in the current phase
}

func newGraph(p *planner) *graph {
	g := &graph{
		classOf: make([]*lane, len(p.free)),
		hostOf:  fill(len(p.free)),
		slotOf:  fill(len(p.hosts)),
		layerOf: fill(len(p.hosts)),
	}
	lanes := map[*class]*lane{}
	for slot, i := range p.free {
		c := p.of[i]
		if lanes[c] == nil {
			lanes[c] = &lane{class: c}
			g.lanes = append(g.lanes, lanes[c])
		}
		g.classOf[slot] = lanes[c]
	}
	return g
}

func fill(n int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = none
	}
	return s
}

// solve finds a maximum matching by Hopcroft and Karp (An n^5/2 algorithm for maximum matchings in bipartite graphs,
// SIAM J. Comput. 2(4), 1973): per phase, layer the graph from all unmatched slots, then augment along disjoint shortest
// paths. A matched slot never loses its host to nobody, so earlier slots keep what they got.
func (g *graph) solve() {
	for g.layer() {
		for slot := range g.hostOf {
			if g.hostOf[slot] == none {
				g.augment(int32(slot))
			}
		}
	}
}

// layer numbers classes and hosts by their distance from the unmatched slots and reports whether a free host is reached.
func (g *graph) layer() bool {
	g.reset()
	for slot, h := range g.hostOf {
		if h == none {
			g.reach(g.classOf[slot], 0)
		}
	}
	return g.spread()
}

func (g *graph) reset() {
	g.queue = g.queue[:0]
	for _, l := range g.lanes {
		l.layer, l.cursor = none, 0
	}
	for h := range g.layerOf {
		g.layerOf[h] = none
	}
}

// reach puts the class's unreached hosts one layer further.
func (g *graph) reach(l *lane, layer int32) {
	if l.layer != none {
		return
	}
	l.layer = layer
	for _, h := range l.adjacent {
		if g.layerOf[h] == none {
			g.layerOf[h] = layer + 1
			g.queue = append(g.queue, h)
		}
	}
}

// spread walks on from the queued hosts to the slots that have them; it reports whether any host is free.
func (g *graph) spread() bool {
	found := false
	for head := 0; head < len(g.queue); {
		h := g.queue[head]
		head++
		if slot := g.slotOf[h]; slot != none {
			g.reach(g.classOf[slot], g.layerOf[h])
		} else {
			found = true
		}
	}
	return found
}

// augment tries to find the slot a host along one shortest path. The cursor moves past an edge for the whole class and
// phase: a host that was used or led nowhere does so for every slot of the class.
func (g *graph) augment(slot int32) bool {
	l := g.classOf[slot]
	for l.cursor < len(l.adjacent) {
		h := l.adjacent[l.cursor]
		l.cursor++
		if g.layerOf[h] != l.layer+1 {
			continue
		}
		layer := g.layerOf[h]
		g.layerOf[h] = none
		other := g.slotOf[h]
		if other == none || (g.classOf[other].layer == layer && g.augment(other)) {
			g.hostOf[slot], g.slotOf[h] = h, slot
			return true
		}
	}
	return false
}

// rivals are the slots whose hosts the class could reach by moving others: with a maximum matching none of these hosts
// is free, so the class and the rivals' classes together fit fewer hosts than they have slots (Hall 1935).
func (g *graph) rivals(l *lane) []int32 {
	g.reset()
	g.reach(l, 0)
	g.spread()
	slots := make([]int32, 0, len(g.queue))
	for _, h := range g.queue {
		slots = append(slots, g.slotOf[h])
	}
	return slots
}
