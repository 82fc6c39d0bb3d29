#!/usr/bin/env bash
# What a GPU is borrowed for: run the tests that need one, try the paper's table at full size, time
# the captioner, and train the weights that ship beside the recipes they were compared with.
# Results go to $OUT. Nothing is fetched.
#
#   OUT=results bash scripts/on_gpu.sh SOURCE [SECONDS] [AT_ONCE]
#
# SOURCE holds the folders that scripts/prepare_shipping_data.py names; SECONDS is how long new
# trainings are begun (default 380), AT_ONCE how many run side by side (default 12). The machine
# needs PyTorch, timm and Lightning, and the wheels in .whl, if there is such a folder.
# STAGES (default "tests steps bench recipes") says what is done: the first three need no SOURCE.
set -u
cd "$(dirname "$0")/.."
source_folder=${1:-} seconds=${2:-380} at_once=${3:-12}
stages=${STAGES:-tests steps bench recipes}
out=${OUT:?say where the results go}
mkdir -p "$out" runs
export OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1

if [ -d .whl ] && [ ! -d runs/site ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target runs/site .whl/*.whl
fi
export PYTHONPATH=$PWD/src:$PWD/runs/site
python3 -c 'import torch; print(torch.__version__, torch.cuda.get_device_name(0))'

asked() { case " $stages " in *" $1 "*) return 0 ;; *) return 1 ;; esac }

if asked tests; then
  python3 -m pytest -q -n0 -p no:cacheprovider tests/test_gpu.py > "$out/tests.txt" 2>&1
  tail -n 15 "$out/tests.txt"
fi

# the paper's table at full size: does every row fit, and how long is a step?
if asked steps; then
  python3 -m sencap synth runs/data/steps --pairs 300 --seed 7 --quiet > "$out/synth.txt" 2>&1
  timeout 400 python3 benchmarks/first_steps.py runs/data/steps --accelerator gpu \
    --json "$out/first_steps.json" > "$out/first_steps.txt" 2>&1
  tail -n 12 "$out/first_steps.txt"
fi

if asked bench; then
  timeout 120 python3 -m sencap bench --rounds 2 --json "$out/speed.json" > "$out/speed.txt" 2>&1
fi

if asked recipes; then
  # features are written and read many times: in memory, where there is a folder in memory
  if [ -d /dev/shm ]; then mkdir -p /dev/shm/features; ln -sfn /dev/shm/features runs/features; fi
  python3 scripts/prepare_shipping_data.py "$source_folder" runs/data/shipping
  python3 -m sencap synth runs/data/synthetic-1200 --pairs 1200 --seed 7 --quiet \
    > "$out/synth.txt" 2>&1
  python3 scripts/compare_recipes.py runs/recipes --at-once "$at_once" --seconds "$seconds" \
    --test "$source_folder/levir_cc" --results "$out" ${RECIPES:+--only "$RECIPES"} \
    --hardware.accelerator=gpu ${MORE:-} > "$out/recipes.txt" 2>&1
  tail -n 60 "$out/recipes.txt"
fi
ls -la "$out"
