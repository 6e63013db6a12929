#!/bin/bash
# The demo, step by step: phantom radiographs, shards, a training run that is interrupted half-way and resumed,
# evaluation, prediction and a report. `make demo` builds the program and calls this.
#
# The commands are the ones that a user would type; PLEURA, RUN and IMAGES can be set to other values.
set -euo pipefail
cd "$(dirname "$0")/.."

pleura=${PLEURA:-.build/release/pleura}
run=${RUN:-runs/demo}
images=${IMAGES:-96}
configuration=configs/demo.yaml
epochs=$(sed -n 's/^ *epochs: *\([0-9][0-9]*\).*/\1/p' "$configuration" | head -n 1)
half=$((epochs / 2))

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

# An earlier demo is replaced, and nothing else: the folder must look like one.
if [ -e "$run" ]; then
    [ -e "$run/phantoms" ] || { echo "$run exists and is not an earlier demo; remove it or set RUN." >&2; exit 1; }
    rm -rf "$run"
fi
mkdir -p "$run"

say "1. Draw $images phantom radiographs, as DICOM with labels"
# At the challenge's size, in which its label rows and submissions count pixels. Half have a pneumothorax, and larger
# ones than in life: few images must teach it.
"$pleura" synthesize "$run/phantoms" --images "$images" --size 1024 --seed 1 --positives 0.5 --area-scale 4

say "2. Put them into HDF5 shards"
"$pleura" shard --dicom "$run/phantoms/dicom-images-train" --labels "$run/phantoms/train-rle.csv" --size 128 \
    --folds 4 --output "$run/shards"

say "3. Train with 2 workers; interrupted after $half of $epochs epochs, as Ctrl-C would"
# A watcher sends the interrupt once metrics.jsonl shows the first step of epoch number $half (they count from 0).
launch_id=$run/.launch-id
watch() {
    until grep -qs "\"kind\":\"step\",\"step\":[0-9]*,\"epoch\":$half," "$run/metrics.jsonl"; do sleep 0.2; done
    kill -INT "$(cat "$launch_id")" && rm "$launch_id"
}
watch &
watcher=$!
trap 'kill "$watcher" 2>/dev/null || true; rm -f "$launch_id"' EXIT
(
    echo "$BASHPID" >"$launch_id"
    exec "$pleura" launch "$configuration" --workers 2 --threads 1 --set "data.shards=$run/shards" \
        --set "run.directory=$run"
)
if [ -e "$launch_id" ]; then
    echo "The run ended before it could be interrupted." >&2
    exit 1
fi

say "4. Resume it from the last checkpoint"
"$pleura" resume "$run"

say "5. Evaluate it on the fold that it has not seen, and find the best rule for its masks"
"$pleura" evaluate "$run" --best

say "6. Predict: masks, masks, overlays, heat maps, a table of probabilities and areas"
"$pleura" predict "$run" --best --input "$run/phantoms/dicom-images-train" --output "$run/predictions"
cp "$run/predictions/submission.csv" "$run/submission.csv"

say "7. Score the masks of all images, three quarters of which it was trained on, by the challenge's rule"
"$pleura" evaluate --predictions "$run/submission.csv" --labels "$run/phantoms/train-rle.csv"

say "Everything is in $run"
cat <<END
  report.html           the report: open it in a browser
  metrics.jsonl         one line for each step and each validation
  tensorboard/          for TensorBoard: tensorboard --logdir $run
  submission.csv        the predicted masks in the challenge's format
  predictions/          masks, overlays, heat maps, a table of probabilities and areas
  checkpoints/          to resume or predict from
END
