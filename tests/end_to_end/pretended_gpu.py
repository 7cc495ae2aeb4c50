#!/usr/bin/env python3
"""bev_train on GPUs that are pretended (tests/fake_gpu): one and two, with recorded steps and without, resumed, short of memory.

    pretended_gpu.py TOOLS_DIR LIBRARY"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

LIBRARY = pathlib.Path(sys.argv.pop(2)).resolve()
TOOLS = pathlib.Path(sys.argv.pop(1)).resolve()
CONFIG = """
dataloader: {batch_size: 2, num_workers: 1}
data: {normalize_state: true}
bev_encoder: {mode: raster, bev_input_size: [32, 32], base_channels: 4}
policy: {n_emb: 32, n_head: 2, n_layer: 1, n_cond_layers: 1, vlm_dim: 32, vl_emb_dim: 16, num_inference_steps: 2}
noise_scheduler: {prediction_type: sample, clip_sample: true}
optimizer: {lr: 1.0e-3}
training: {num_epochs: 100, seed: 7}
logging: {log_freq: 1, pictures: 1}
"""


def run(program, *arguments, check=0, **environment):
    result = subprocess.run([TOOLS / program, *map(str, arguments)], env={**os.environ, **environment}, text=True, timeout=300,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != check:
        raise AssertionError(f"{program} {arguments}: exit status {result.returncode}, expected {check}\n{result.stdout}")
    return result.stdout


def losses(output):
    return {int(step): float(loss) for step, loss in re.findall(r"step (\d+)/\d+ +loss ([\d.e-]+)", output)}


class PretendedGpu(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="bev_pretended_gpu_"))
        cls.config = cls.folder / "tiny.yaml"
        cls.config.write_text(CONFIG)
        run("bev_data", "generate", "--out", cls.folder / "town", "--train-routes", 2, "--val-routes", 1, "--seconds", 12,
            "--raster", 32, "--pictures", 0)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def train(self, name, *more, check=0, **environment):
        return run("bev_train", "--config", self.config, "--set", f"training.dataset_path={self.folder / 'town'}", "--set",
                   f"training.checkpoint_dir={self.folder / name}", "--set", f"runtime.autotune_cache={self.folder / 'autotune'}",
                   *more, check=check, LD_PRELOAD=str(LIBRARY), FAKE_GPU_REPORT="1", **environment)

    def test_one_gpu_trains_as_the_cpu_does_recorded_or_not_and_resumes(self):
        at_fp32 = ("--set", "runtime.precision=fp32")
        of_cpu = losses(self.train("cpu", "--device", "cpu", "--max-steps", 6, *at_fp32))
        whole = self.train("whole", "--gpus", 0, "--max-steps", 6, *at_fp32)
        self.assertIn("recorded", whole)
        self.assertNotIn("left:", whole, "something of the GPU was not given back")
        plain = self.train("plain", "--gpus", 0, "--max-steps", 6, "--set", "runtime.cuda_graph=off", *at_fp32)
        self.train("parts", "--gpus", 0, "--max-steps", 3, *at_fp32)
        second = self.train("parts", "--gpus", 0, "--max-steps", 6, "--resume", "auto", *at_fp32)
        self.assertEqual(len(of_cpu), 6)
        self.assertEqual(losses(whole), losses(plain))
        self.assertEqual({step: loss for step, loss in losses(whole).items() if step > 3}, losses(second))
        for step, loss in losses(whole).items():
            self.assertAlmostEqual(loss / of_cpu[step], 1, delta=1e-3)

    def test_two_gpus_train_alike_with_their_optimizer_shared_out_or_not(self):
        more = ("--gpus", "0-1", "--max-steps", 5, "--set", "model_optimization.gradient_accumulation_steps=2")
        own = self.train("own", *more)
        self.assertIn("2 replicas (cuda:0, cuda:1) over nccl", own)
        self.assertNotIn("left:", own)
        shared = self.train("shared", *more, "--set", "runtime.shard_optimizer=true", "--set", "runtime.cuda_graph=off",
                            FAKE_GPU_SEED="2")
        self.assertEqual(len(losses(own)), 5)
        for step, loss in losses(own).items():
            self.assertAlmostEqual(loss / losses(shared)[step], 1, delta=1e-3)

    def test_host_code_leaves_device_memory_alone_and_only_the_named_gpu_is_touched(self):
        output = self.train("guarded", "--gpus", 1, "--max-steps", 2, FAKE_GPU_GUARD="1")
        self.assertIn("contexts: 1 by", output)

    def test_too_little_memory_is_told_in_samples(self):
        output = self.train("large", "--gpus", 0, "--max-steps", 2, "--set", "dataloader.batch_size=80000", check=1)
        self.assertRegex(output, r"the largest micro-batch that fits is \d+")
        fits = int(re.search(r"the largest micro-batch that fits is (\d+)", output)[1])
        self.assertGreater(fits, 100)


if __name__ == "__main__":
    unittest.main()
