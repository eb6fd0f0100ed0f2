//! Model: the mixture-of-experts layers of a model, from its public configuration.

use schemars::JsonSchema;
use serde::Serialize;
use strum::IntoStaticStr;

/// How the weights of the routed experts are usually stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, IntoStaticStr, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Precision {
    Bf16,
    Fp8,
    /// 4 bits, and a scale of 8 bits for each 32 weights.
    Mxfp4,
    /// 4 bits, and a scale of 16 bits for each 32 weights.
    Int4,
}

impl Precision {
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Bits of 32 weights.
    fn bits_of_32(self) -> u64 {
        match self {
            Self::Bf16 => 32 * 16,
            Self::Fp8 => 32 * 8,
            Self::Mxfp4 => 32 * 4 + 8,
            Self::Int4 => 32 * 4 + 16,
        }
    }
}

/// The routed experts of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Model {
    /// The first is its own; the others have the same layers and experts, and weights of the same size.
    pub names: &'static [&'static str],
    /// Layers with routed experts.
    pub layers: usize,
    /// Layers without.
    pub dense: usize,
    /// Routed experts of a layer.
    pub experts: usize,
    /// Groups of the router; 1 if it has none.
    pub groups: usize,
    /// Routed experts of a token and layer.
    pub top_k: usize,
    /// The width of an expert's input and output.
    pub hidden: usize,
    /// The width of its intermediate layer.
    pub intermediate: usize,
    pub precision: Precision,
}

impl Model {
    /// The models, by family. The numbers are those of each model's `config.json` where no other source is named: as
    /// aiconfigurator-core 0.12.0 carries it, or the defaults of transformers 5.24.0 for the checkpoint that they name.
    pub const ALL: [Self; 29] = [
        model(&["deepseek-v3", "deepseek-r1", "deepseek-v3.1", "deepseek-v3.2"], [58, 3, 256, 8, 8], [7168, 2048], FP8),
        // Primus, primus/configs/models/megatron/deepseek_v2_lite.yaml.
        model(&["deepseek-v2-lite", "deepseek-coder-v2-lite"], [26, 1, 64, 1, 6], [2048, 1408], BF16),
        // The first three layers choose experts by a hash of the token; engines balance them like the others.
        model(&["deepseek-v4-flash"], [43, 0, 256, 1, 6], [4096, 2048], MXFP4),
        model(&["deepseek-v4-pro"], [61, 0, 384, 1, 6], [7168, 3072], MXFP4),
        model(&["qwen3-30b-a3b"], [48, 0, 128, 1, 8], [2048, 768], BF16),
        model(&["qwen3-235b-a22b"], [94, 0, 128, 1, 8], [4096, 1536], BF16),
        model(&["qwen3-coder-480b-a35b"], [62, 0, 160, 1, 8], [6144, 2560], BF16),
        // transformers: Qwen3NextConfig.
        model(&["qwen3-next-80b-a3b"], [48, 0, 512, 1, 10], [2048, 512], BF16),
        model(&["qwen3.5-35b-a3b", "qwen3.6-35b-a3b"], [40, 0, 256, 1, 8], [2048, 512], BF16),
        model(&["qwen3.5-122b-a10b"], [48, 0, 256, 1, 8], [3072, 1024], BF16),
        model(&["qwen3.5-397b-a17b"], [60, 0, 512, 1, 10], [4096, 1024], BF16),
        model(&["kimi-k2"], [60, 1, 384, 1, 8], [7168, 2048], FP8),
        model(&["kimi-k2.5", "kimi-k2.6", "kimi-k2.7-code"], [60, 1, 384, 1, 8], [7168, 2048], INT4),
        // Its routed experts are narrower than the model: routed_expert_hidden_size.
        model(&["kimi-k3"], [92, 1, 896, 1, 16], [3584, 3072], MXFP4),
        // Megatron-Bridge, docs/models/llm/glm45.md; slime, scripts/models/glm4.5-355B-A32B.sh and glm4.5-106B-A12B.sh.
        model(&["glm-4.5", "glm-4.6", "glm-4.7"], [89, 3, 160, 1, 8], [5120, 1536], BF16),
        model(&["glm-4.5-air"], [45, 1, 128, 1, 8], [4096, 1408], BF16),
        model(&["glm-5", "glm-5.1", "glm-5.2", "glm-5.3"], [75, 3, 256, 1, 8], [6144, 2048], BF16),
        model(&["gpt-oss-20b"], [24, 0, 32, 1, 4], [2880, 2880], MXFP4),
        model(&["gpt-oss-120b"], [36, 0, 128, 1, 4], [2880, 2880], MXFP4),
        // transformers: MiniMaxM2Config; M2.5 and M2.7 as above.
        model(&["minimax-m2", "minimax-m2.5", "minimax-m2.7"], [62, 0, 256, 1, 8], [3072, 1536], FP8),
        model(&["minimax-m3"], [57, 3, 128, 1, 4], [6144, 3072], BF16),
        model(&["llama-4-scout"], [48, 0, 16, 1, 1], [5120, 8192], BF16),
        // Every second layer has experts.
        model(&["llama-4-maverick"], [24, 24, 128, 1, 1], [5120, 8192], BF16),
        model(&["mixtral-8x7b"], [32, 0, 8, 1, 2], [4096, 14_336], BF16),
        model(&["mixtral-8x22b"], [56, 0, 8, 1, 2], [6144, 16_384], BF16),
        // The metadata of its GGUF file, as llama.cpp prints it (ikawrakow/ik_llama.cpp#873).
        model(&["ling-1t", "ring-1t"], [76, 4, 256, 8, 8], [8192, 2048], BF16),
        // transformers: BailingHybridConfig.
        model(&["ling-3.0-flash"], [40, 2, 512, 8, 8], [2560, 768], BF16),
        // GPULlama3.java, OlmoeConfiguration.
        model(&["olmoe-1b-7b"], [16, 0, 64, 1, 8], [2048, 1024], BF16),
        model(&["mimo-v2-flash"], [47, 1, 256, 1, 8], [4096, 2048], FP8),
    ];

    /// The model of this name, whether in capitals or not.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|model| model.names.iter().any(|known| known.eq_ignore_ascii_case(name)))
    }

    /// The models with these layers and experts.
    pub fn of_shape(layers: usize, experts: usize) -> impl Iterator<Item = &'static Self> {
        Self::ALL.iter().filter(move |model| (model.layers, model.experts) == (layers, experts))
    }

    pub fn name(&self) -> &'static str {
        self.names[0]
    }

    /// The layers with routed experts. Dense layers come first, but where there are as many of them: those alternate.
    pub fn layer_ids(&self) -> impl Iterator<Item = usize> {
        let (first, step) = if self.dense == self.layers { (1, 2) } else { (self.dense, 1) };
        (first..).step_by(step).take(self.layers)
    }

    /// Bytes of the weights of an expert of one layer: three matrices of `hidden` x `intermediate`.
    pub fn expert_bytes(&self) -> u64 {
        3 * (self.hidden * self.intermediate) as u64 * self.precision.bits_of_32() / 32 / 8
    }
}

const BF16: Precision = Precision::Bf16;
const FP8: Precision = Precision::Fp8;
const MXFP4: Precision = Precision::Mxfp4;
const INT4: Precision = Precision::Int4;

const fn model(
    names: &'static [&'static str],
    [layers, dense, experts, groups, top_k]: [usize; 5],
    [hidden, intermediate]: [usize; 2],
    precision: Precision,
) -> Model {
    Model { names, layers, dense, experts, groups, top_k, hidden, intermediate, precision }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Billions of parameters that the models' cards state, of which the routed experts are most.
    const TOTALS: [(&str, f64); 22] = [
        ("deepseek-v3", 671.0),
        ("deepseek-v2-lite", 15.7),
        ("olmoe-1b-7b", 6.9),
        ("qwen3-30b-a3b", 30.5),
        ("qwen3-235b-a22b", 235.0),
        ("qwen3-coder-480b-a35b", 480.0),
        ("qwen3-next-80b-a3b", 80.0),
        ("qwen3.5-35b-a3b", 35.0),
        ("qwen3.5-122b-a10b", 122.0),
        ("qwen3.5-397b-a17b", 397.0),
        ("kimi-k2", 1026.0),
        ("glm-4.5", 355.0),
        ("glm-4.5-air", 106.0),
        ("gpt-oss-20b", 20.9),
        ("gpt-oss-120b", 116.8),
        ("minimax-m2", 229.0),
        ("llama-4-scout", 109.0),
        ("llama-4-maverick", 400.0),
        ("mixtral-8x7b", 46.7),
        ("mixtral-8x22b", 141.0),
        ("ling-1t", 1000.0),
        ("ling-3.0-flash", 124.0),
    ];

    #[test]
    fn the_experts_are_most_of_a_model_and_never_more_than_all_of_it() {
        for (name, total) in TOTALS {
            let Model { layers, experts, hidden, intermediate, .. } = *Model::find(name).unwrap();
            let share = (layers * experts * 3 * hidden * intermediate) as f64 / (1e9 * total);
            assert!((0.85..1.0).contains(&share), "{name}: {share}");
        }
    }

    #[test]
    fn an_expert_takes_three_matrices_in_its_precision() {
        let bytes = |name| Model::find(name).unwrap().expert_bytes();
        assert_eq!(bytes("deepseek-v3"), 3 * 7168 * 2048);
        assert_eq!(bytes("qwen3-30b-a3b"), 3 * 2048 * 768 * 2);
        // 4.25 and 4.5 bits a weight.
        assert_eq!(bytes("gpt-oss-120b"), 3 * 2880 * 2880 * 17 / 32);
        assert_eq!(bytes("kimi-k2.5"), 3 * 7168 * 2048 * 9 / 16);
    }

    #[test]
    fn a_model_is_found_by_each_of_its_names_and_no_name_is_used_twice() {
        let names: Vec<&str> = Model::ALL.iter().flat_map(|model| model.names.iter().copied()).collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
        assert_eq!(Model::find("DeepSeek-R1").unwrap().name(), "deepseek-v3");
        assert_eq!(Model::find("deepseek"), None);
        assert_eq!(Model::of_shape(58, 256).map(Model::name).collect::<Vec<_>>(), ["deepseek-v3"]);
        assert!(
            Model::ALL.iter().all(|model| model.experts.is_multiple_of(model.groups) && model.top_k <= model.experts)
        );
    }

    #[test]
    fn layers_with_experts_come_after_the_dense_ones_or_alternate_with_them() {
        let ids = |name| Model::find(name).unwrap().layer_ids().collect::<Vec<_>>();
        assert_eq!(ids("deepseek-v3"), (3..61).collect::<Vec<_>>());
        assert_eq!(ids("mixtral-8x7b"), (0..32).collect::<Vec<_>>());
        let alternating = ids("llama-4-maverick");
        assert_eq!((alternating.len(), alternating[0], alternating[23]), (24, 1, 47));
    }
}
