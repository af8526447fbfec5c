"""What is measured: models and steps of training."""
import os
import pathlib
import typing

REPO = pathlib.Path(__file__).resolve().parent.parent
MODELS = pathlib.Path(os.environ.get("CUTQ_MODELS") or REPO / "models")
MADE = REPO / "target/bench"

SMOL = "SmolLM2-135M-Instruct.{}.gguf"


class Case(typing.NamedTuple):
    """A model and a step of training."""
    file: str
    tokens: int = 512
    batch: int = 2
    made_as: str | None = None  # a type that llama-quantize makes of SmolLM2's Q4_1, or "synthetic"
    pytorch: bool = False
    recompute: bool = False  # in PyTorch, where it would not fit otherwise
    memory: str | None = None  # the budget that cutq is given
    peers: bool = True  # a second budget needs no second look at them
    readme: str | None = None  # its name in README's table, if it is shown there
    simd: str | None = None  # the level that cutq is asked for, below the CPU's; llama.cpp is for AVX2 then

    def cells(self):
        """What its row begins with: model, step and budget."""
        level = f" ({self.simd})" if self.simd else ""
        budget = self.memory or "any memory"
        return self.file.removesuffix(".gguf") + level, f"{self.batch} × {self.tokens}", budget

    def path(self):
        """Where the model is, or is made."""
        return (MADE if self.made_as else MODELS) / self.file


GEMMA = "gemma-3-270m-Q4_K_M.gguf"
QWEN = "Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf"
SMOL_NAME, QWEN_NAME = "SmolLM2 135M Q4_1", "Qwen2.5-Coder 1.5B Q4_K_M"

CASES = {
    "smol": Case(SMOL.format("Q4_1"), pytorch=True, memory="900MB", readme=SMOL_NAME),
    "smol-300": Case(SMOL.format("Q4_1"), memory="300MiB", peers=False, readme=SMOL_NAME),
    "smol-long": Case(SMOL.format("Q4_1"), tokens=2048, memory="900MB"),
    "smol-q4_0": Case(SMOL.format("Q4_0"), made_as="Q4_0", memory="900MB"),
    "smol-q8_0": Case(SMOL.format("Q8_0"), made_as="Q8_0", memory="900MB"),
    "smol-f16": Case(SMOL.format("F16"), made_as="F16", memory="900MB"),
    "gemma": Case(GEMMA, pytorch=True, memory="1.2GB", readme="Gemma 3 270M Q4_K_M"),
    "qwen": Case(QWEN, tokens=256, pytorch=True, recompute=True, memory="4GB", readme=QWEN_NAME),
    "qwen-2g": Case(QWEN, tokens=256, memory="2GiB", peers=False, readme=QWEN_NAME),
    "llama3-8b": Case("synthetic-llama3-8b-q4_K.gguf", tokens=256, made_as="synthetic",
                      memory="1390MB", readme="Llama 3 8B's shape, Q4_K"),
    "smol-avx2": Case(SMOL.format("Q4_1"), memory="900MB", simd="avx2"),
    "smol-q4_0-avx2": Case(SMOL.format("Q4_0"), made_as="Q4_0", memory="900MB", simd="avx2"),
    "smol-q8_0-avx2": Case(SMOL.format("Q8_0"), made_as="Q8_0", memory="900MB", simd="avx2"),
    "gemma-avx2": Case(GEMMA, memory="1.2GB", simd="avx2"),
    "qwen-avx2": Case(QWEN, tokens=256, memory="4GB", simd="avx2"),
    "smol-avx-vnni": Case(SMOL.format("Q4_1"), memory="900MB", simd="avx-vnni"),
}
USUAL = ["smol", "smol-300", "smol-long", "smol-q4_0", "smol-q8_0", "smol-f16", "gemma", "smol-avx2",
         "smol-q4_0-avx2", "smol-q8_0-avx2", "gemma-avx2", "smol-avx-vnni"]

# What is sampled from, without a budget: so many prompts at a time, of so many tokens and as many to draw.
SAMPLED, N_PARALLEL, N_SAMPLED = ["smol", "qwen"], 32, 128

# What is also measured beside other programs, and beside how many.
BESIDE, BUSY = "smol", [0, 1, 3]
