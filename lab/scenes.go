package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/truce-dev/truce/lab/incident"
	"github.com/truce-dev/truce/lab/measure"
	"github.com/truce-dev/truce/lab/office"
	"github.com/truce-dev/truce/lab/pizza"
	"github.com/truce-dev/truce/lab/stage"
	"github.com/truce-dev/truce/lab/storm"
	"github.com/truce-dev/truce/test/cluster"
)

// scene is something that can be played.
type scene struct {
	name    string
	title   string
	about   string // said at the beginning
	actions []stage.Action
	length  time.Duration // of a run
	cluster cluster.Options
	play    func(context.Context, *stage.Stage, stage.Action, time.Duration, stage.Audience) (measure.Run, error)
	rows    []string // of the table: names of values
	plots   []string // of the report: names of series
	heads   []string // what the report begins with: names of values
	lessons map[stage.Action]string
	stays   bool // one can try things afterwards
}

func scenes() []scene {
	return []scene{incidentScene(), pizzaScene(), stormScene(), officeScene()}
}

func findScene(name string) (scene, error) {
	var known []string
	for _, s := range scenes() {
		if s.name == name {
			return s, nil
		}
		known = append(known, s.name)
	}
	return scene{}, fmt.Errorf("there is no scene %q: give %s", name, strings.Join(known, ", "))
}

func incidentScene() scene {
	return scene{
		name: "incident", title: "a controller fights with itself, and new Pods have no network",
		about: "Backend services have two components each, a server and a worker, which share a ServiceAccount. A controller " +
			"writes the signature of each component onto it, as an annotation. The signature of one overwrites that of the " +
			"other; the controller sees a change, and signs again. A network policy engine watches ServiceAccounts too: each " +
			"change is work for it, in the order in which changes come, and a new Pod can be reached once its turn has come. " +
			"New Pods come at a steady pace. One that cannot be reached within 3 s, or 1 s if a CronJob made it, is dead.",
		actions: incident.Actions, length: 20 * time.Second, play: incident.Play, stays: true,
		rows: []string{
			incident.Attempted, incident.Stored, stage.Revisions, stage.Delivered, "",
			incident.DepthP99, incident.DepthMax, incident.LatencyP50, incident.LatencyP99, incident.LatencyMax,
			incident.LatencyOut, incident.Outset, incident.Pods, incident.Dead, incident.DeadJobs, incident.Dropped, "",
			stage.ServerCPU, stage.TruceCPU, stage.TruceMemory, incident.Found,
		},
		plots: []string{incident.Depth, incident.Latency, incident.Stored},
		heads: []string{incident.LatencyP99, incident.Dead, incident.Stored},
		lessons: map[stage.Action]string{
			stage.Calm: "Each component has its own ServiceAccount, so the controller signs each once, and is content. This " +
				"is what the others are measured against.",
			stage.Without: "The fight, and nothing that stops it. Every write goes to etcd and to everybody who watches.",
			stage.Warn: "The built-in policy. It stops nothing: it says what enforcing would do, to the client, in its log, in " +
				"metrics and in the audit log.",
			stage.Throttle: "Mode Enforce: one write a minute passes for each fight, the others get 429.",
			stage.Reject:   "Writes of a contested field get 403, with the reason.",
			stage.Hold: "A contested field keeps its stored value, so that the write changes nothing and nobody hears of it. To the " +
				"controller it looks like a success.",
			stage.Late: "The fight begins without Truce. When the harm is done, Truce is switched on, and holds.",
		},
	}
}

func pizzaScene() scene {
	return scene{
		name: "pizza", title: "two controllers disagree on the price of a pizza",
		about: "A pizza controller computes what a PizzaOrder costs, a promotions controller what it costs with a coupon, and " +
			"both write the same annotation: custom resources, two managers, and managedFields that say who wrote what. " +
			"Meanwhile customers without a coupon order too, and wait for their price in the queue of the pizza controller's " +
			"only worker.",
		actions: pizza.Actions, length: 10 * time.Second, play: pizza.Play, stays: true,
		rows: []string{
			pizza.Attempted, pizza.Stored, pizza.Held, pizza.Denied, stage.Revisions, stage.Delivered, "",
			pizza.Orders, pizza.PriceP50, pizza.PriceP99, pizza.PriceMax, "",
			stage.ServerCPU, stage.TruceCPU, stage.TruceMemory, pizza.Found,
		},
		plots: []string{pizza.Stored, pizza.PriceMax},
		heads: []string{pizza.Stored, pizza.PriceP99},
		lessons: map[stage.Action]string{
			stage.Calm:     "Nobody has a coupon, so the promotions controller has no opinion.",
			stage.Without:  "Eight orders have a coupon. Each controller sees the other's price, and corrects it.",
			stage.Warn:     "The built-in policy says to both what enforcing would do, and stops nothing.",
			stage.Throttle: "One write a minute passes for each order. Both controllers get 429, and back off for that order alone.",
			stage.Reject:   "Both controllers get 403, and back off. The price stays what it was when the fight was found.",
			stage.Hold:     "Both believe that they succeeded.",
		},
	}
}

func officeScene() scene {
	return scene{
		name: "office", title: "a day at the office: everything enforced, and nothing to say",
		about: "kube-controller-manager and kube-scheduler are at work, on nodes that only seem to be there, which KWOK plays. Deployments are rolled, " +
			"scaled and rolled back by a human, Jobs run, leaders are elected, certificates renewed, and what is in Git is " +
			"applied again and again. Nobody fights. If Truce flags anything, the scene has failed.",
		actions: office.Actions, length: 5 * time.Minute, play: office.Play,
		cluster: office.Cluster(),
		rows: []string{
			office.Flagged, office.Verdicts, office.Reviews, "",
			office.Rollouts, office.Rollbacks, office.Scalings, office.Jobs, office.Renewals, office.Applications, office.Leaders,
			office.PodsAtTheEnd, "",
			stage.Revisions, stage.Delivered, stage.ServerCPU, stage.TruceCPU, stage.TruceMemory,
		},
		heads: []string{office.Flagged, office.Reviews, office.Rollouts},
		lessons: map[stage.Action]string{
			stage.Hold: "Mode Enforce, for every field of every object: annotations are held, all else is throttled.",
		},
	}
}

func stormScene() scene {
	return scene{
		name: "storm", title: "watches expire, and everybody lists again",
		about: "Two thousand Pods are made within a minute. Clients on thin lines watch them; one that lags behind by more than the " +
			"API server remembers, 10 to 20 s here, is told 410 Gone, and lists all Pods anew, over the same thin line. Truce " +
			"cannot stop reads. But two controllers that fight over an annotation of twenty Pods make events too, for as long as " +
			"they fight.",
		actions: storm.Actions, length: 2 * time.Minute, play: storm.Play, cluster: storm.Cluster(),
		rows: []string{
			storm.Made, storm.Stored, stage.Revisions, stage.Delivered, "",
			storm.Gone, storm.Relists, storm.Listed, storm.ListBytes, storm.LineBytes, storm.Behind, "",
			stage.ServerCPU, stage.TruceCPU, stage.TruceMemory, storm.Found,
		},
		plots: []string{storm.Lag, storm.Lists, storm.Stored},
		heads: []string{storm.Gone, storm.Relists, storm.Behind},
		lessons: map[stage.Action]string{
			stage.Calm:    "The storm alone: the clients lag, and catch up when it is over.",
			stage.Without: "The storm, and a fight that goes on after it.",
			stage.Hold:    "The storm, and a fight that is held.",
		},
	}
}
