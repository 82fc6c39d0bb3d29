#!/usr/bin/env bash
# What a GPU is borrowed for: train the weights that ship at full size, run the tests that need a
# GPU, and time the captioner. Results go to $OUT. Nothing is fetched.
#
#   OUT=results bash scripts/on_gpu.sh SOURCE [SECONDS] [AT_ONCE]
#
# SOURCE holds the folders that scripts/prepare_shipping_data.py names; SECONDS is how long new
# trainings are begun (default 380), AT_ONCE how many run side by side (default 12). The machine
# needs PyTorch, timm and Lightning, and the wheels in .whl, if there is such a folder.
set -u
cd "$(dirname "$0")/.."
source_folder=$1 seconds=${2:-380} at_once=${3:-12}
out=${OUT:?say where the results go}
mkdir -p "$out"
export OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1

if [ -d .whl ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target runs/site .whl/*.whl
fi
export PYTHONPATH=$PWD/src:$PWD/runs/site
python3 -c 'import torch; print(torch.__version__, torch.cuda.get_device_name(0))'

# features are written and read many times: in memory, where there is a folder in memory
if [ -d /dev/shm ]; then mkdir -p runs /dev/shm/features; ln -sfn /dev/shm/features runs/features; fi

python3 scripts/prepare_shipping_data.py "$source_folder" runs/data/shipping
python3 -m sencap synth runs/data/synthetic --pairs 600 --seed 7 --quiet > "$out/synth.txt" 2>&1 &

python3 -m pytest -q -n0 -p no:cacheprovider tests/test_gpu.py > "$out/tests.txt" 2>&1
tail -n 15 "$out/tests.txt"
wait

# the paper's table at full size: does every row fit, and how long is a step?
if [ -z "${NO_FIRST_STEPS:-}" ]; then
  timeout 240 python3 benchmarks/first_steps.py runs/data/synthetic --accelerator gpu \
    --json "$out/first_steps.json" > "$out/first_steps.txt" 2>&1
  tail -n 12 "$out/first_steps.txt"
fi

python3 scripts/compare_recipes.py runs/recipes --at-once "$at_once" --seconds "$seconds" \
  ${RECIPES:+--only "$RECIPES"} --hardware.accelerator=gpu ${MORE:-} > "$out/recipes.txt" 2>&1
tail -n 60 "$out/recipes.txt"

# what each run knows, without the frozen backbone of its weights, which all of them share
python3 scripts/pack_runs.py runs/recipes "$out" --source "$source_folder"
if [ -z "${NO_BENCH:-}" ]; then
  timeout 120 python3 -m sencap bench --rounds 2 --json "$out/speed.json" > "$out/speed.txt" 2>&1
fi
ls -la "$out"
