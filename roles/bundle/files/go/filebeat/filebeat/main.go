// Filebeat with its Kafka input.
//
// Beats' own main packages ask Elasticsearch for its licence whenever they connect. That is answered by X-Pack alone, which
// the Elasticsearch of Maven's artifacts has not, so theirs would never ship anything.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/elastic/beats/v7/filebeat/beater"
	"github.com/elastic/beats/v7/filebeat/input/kafka"
	input "github.com/elastic/beats/v7/filebeat/input/v2"
	"github.com/elastic/beats/v7/libbeat/beat"
	"github.com/elastic/beats/v7/libbeat/cmd/instance"
	"github.com/elastic/beats/v7/libbeat/logp"
	_ "github.com/elastic/beats/v7/libbeat/publisher/includes"
	"github.com/elastic/beats/v7/libbeat/version"
)

const name = "filebeat"

func inputs(beat.Info, *logp.Logger, beater.StateStore) []input.Plugin {
	return []input.Plugin{kafka.Plugin()}
}

func main() {
	said := flag.Bool("version", false, "Say the version")
	flag.Parse()
	if *said {
		fmt.Println(name, version.GetDefaultVersion())
		return
	}
	settings := instance.Settings{Name: name, IndexPrefix: name}
	if err := instance.Run(settings, beater.New(inputs)); err != nil {
		os.Exit(1)
	}
}
