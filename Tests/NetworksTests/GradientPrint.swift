import Graph
import Kernels
import Numerics
import TestSupport

/// Gradients that PyTorch computed in fp64 at the initial weights, what is left of them, and how far its own fp32 is.
struct GoldenGradients: Decodable {
    /// All parameters, in the order of their names.
    var names: [String]
    /// By batch and parameter.
    var norms: [[Double]]
    /// By batch and parameter, some sums of drawn elements with signs, scaled to the size of the norm.
    var marks: [[[Double]]]
    /// By parameter, the largest median over the batches of the distance of fp32's norms, in units of the norm.
    var normBand: [Double]
    /// The same of the marks.
    var markBand: [Double]

    /// How many times its band a gradient may be off. Bands that are small by chance count as the median of all.
    static let allowance = 4.0

    struct Distances {
        /// The names of the parameters that are further off than the allowance.
        var outside: [String]
        /// The largest distances in units of the bands.
        var norm: Double
        var mark: Double

        var summary: String { "norms up to \(norm), marks up to \(mark)" }
    }

    /// The medians over the batches of the distances of `found`, against the bands.
    func distances(_ found: [GradientPrint]) -> Distances {
        let (normFloor, markFloor) = (median(normBand), median(markBand))
        var result = Distances(outside: [], norm: 0, mark: 0)
        for (parameter, name) in names.enumerated() {
            var (norms, deviations): ([Double], [Double]) = ([], [])
            for (batch, print) in found.enumerated() {
                let unit = self.norms[batch][parameter]
                norms.append(abs(print.norms[parameter] - unit) / unit)
                let squares = zip(print.marks[parameter], marks[batch][parameter]).reduce(0) {
                    $0 + ($1.0 - $1.1) * ($1.0 - $1.1)
                }
                deviations.append((squares / Double(marks[batch][parameter].count)).squareRoot() / unit)
            }
            let norm = median(norms) / max(normBand[parameter], normFloor)
            let mark = median(deviations) / max(markBand[parameter], markFloor)
            // Also where one is NaN.
            if !(norm <= Self.allowance && mark <= Self.allowance) { result.outside.append(name) }
            result.norm = norm <= result.norm ? result.norm : norm
            result.mark = mark <= result.mark ? result.mark : mark
        }
        return result
    }

    private func median(_ values: [Double]) -> Double {
        values.contains { $0.isNaN } ? .nan : values.sorted()[values.count / 2]
    }
}

/// What is left of a step's gradients, by parameter in the order of names.
struct GradientPrint {
    private static let picked = 256

    private(set) var norms: [Double] = []
    private(set) var marks: [[Double]] = []

    /// The print of the gradients in `rig`, by the rule of the script.
    init(_ rig: Rig, _ golden: GoldenGradients, seed: UInt64) {
        let parameters = Dictionary(uniqueKeysWithValues: rig.layout.parameters.map { ($0.name, $0) })
        for (rank, name) in golden.names.enumerated() {
            guard let parameter = parameters[name], parameter.rank == rank else {
                norms.append(.nan)
                marks.append([])
                continue
            }
            let values = rig.sums.base + parameter.offset
            norms.append(rig.kernels.sumOfSquares(values, parameter.count).squareRoot())
            let count = parameter.elementCount
            marks.append(
                golden.marks[0][rank].indices.map { mark in
                    let random = RandomSequence(
                        seed: seed,
                        purpose: .simulation,
                        epoch: UInt32(1000 + mark),
                        position: UInt32(rank)
                    )
                    var sum = 0.0
                    for draw in 0..<Self.picked {
                        let value = Double(values[parameter.storageIndex(random.integer(2 * draw, below: count))])
                        sum += random.word(2 * draw + 1) & 1 == 0 ? value : -value
                    }
                    return sum * (Double(count) / Double(Self.picked)).squareRoot()
                }
            )
        }
    }

    /// The print where the gradient of one parameter is `factor` times as large.
    func scaling(_ parameter: Int, by factor: Double) -> GradientPrint {
        var result = self
        result.norms[parameter] *= factor
        result.marks[parameter] = result.marks[parameter].map { $0 * factor }
        return result
    }

    /// The print where the gradient of one parameter has the same norm, and points elsewhere by `angle` of it.
    func turning(_ parameter: Int, by angle: Double) -> GradientPrint {
        var result = self
        let shift = angle * norms[parameter]
        result.marks[parameter] = result.marks[parameter].enumerated().map { $1 + ($0 % 2 == 0 ? shift : -shift) }
        return result
    }
}

extension ParameterSpec {
    /// Where element `index` of PyTorch's shape, row-major, lies among the parameter's own.
    func storageIndex(_ index: Int) -> Int {
        guard case .convolution(let geometry) = storage else { return index }
        let (tap, rest) = (index % geometry.taps, index / geometry.taps)
        return geometry.storageIndex(
            output: rest / geometry.inputsPerGroup,
            input: rest % geometry.inputsPerGroup,
            ky: tap / geometry.kernelWidth,
            kx: tap % geometry.kernelWidth
        )
    }
}
