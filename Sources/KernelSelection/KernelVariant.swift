import CSystem
package import Diagnostics
package import Kernels
import KernelsAVX2
import KernelsAVX512
import KernelsBF16AVX2
import KernelsBF16AVX512
import KernelsReferenceBF16

/// The instruction sets that kernels are compiled for, slowest first. All give the same bits.
package enum KernelVariant: String, Sendable, CaseIterable {
    case reference
    case avx2
    case avx512

    /// Whether this process may run the variant.
    package var isSupported: Bool {
        switch self {
        case .reference: true
        case .avx2: system_has_x86_64_v3()
        case .avx512: system_has_x86_64_v4()
        }
    }

    /// The fastest variant that this process may run.
    package static var best: KernelVariant {
        allCases.last { $0.isSupported } ?? .reference
    }

    /// The variant that `environment` asks for in `PLEURA_KERNELS`, or the best one.
    ///
    /// Throws `KernelSelectionError` where the name is unknown or the processor cannot run the variant.
    package static func selected(environment: [String: String]) throws(KernelSelectionError) -> KernelVariant {
        guard let name = environment["PLEURA_KERNELS"], !name.isEmpty else { return best }
        guard let variant = KernelVariant(rawValue: name) else { throw KernelSelectionError.unknown(name) }
        guard variant.isSupported else { throw KernelSelectionError.unsupported(variant) }
        return variant
    }

    /// The kernels. Call only where `isSupported`: anything else is an illegal instruction at the first kernel.
    package var table: KernelTable {
        var table = KernelTable.reference
        switch self {
        case .reference: break
        case .avx2: KernelsAVX2.install(into: &table)
        case .avx512: KernelsAVX512.install(into: &table)
        }
        return table
    }

    /// The kernels over feature maps of bfloat16, with equal bits for all variants.
    ///
    /// Where the processor has no dot product of bfloat16 (`hasDotProduct`), AVX2 emulates it.
    package var bfloat16Table: KernelTable {
        var table = table
        switch self {
        case .reference: KernelsReferenceBF16.installReference(into: &table)
        case .avx2: KernelsBF16AVX2.install(into: &table)
        case .avx512:
            if Self.hasDotProduct {
                KernelsBF16AVX512.install(into: &table)
            } else {
                KernelsBF16AVX2.install(into: &table)
            }
        }
        return table
    }

    /// Both tables.
    package var tables: KernelTables { KernelTables(float32: table, bfloat16: bfloat16Table) }

    /// Whether this processor multiplies bfloat16 itself (AVX512_BF16).
    package static var hasDotProduct: Bool { system_has_avx512_bf16() }
}

/// What `PLEURA_KERNELS` asked for cannot be had.
package enum KernelSelectionError: ReportableError {
    case unknown(String)
    case unsupported(KernelVariant)

    package var exitStatus: ExitStatus { .usage }

    package var description: String {
        let names = KernelVariant.allCases.map(\.rawValue).joined(separator: ", ")
        switch self {
        case .unknown(let name):
            return "PLEURA_KERNELS is \"\(name)\"; it must be one of \(names), or unset for the fastest."
        case .unsupported(let variant):
            return "PLEURA_KERNELS asks for \(variant.rawValue), which this processor cannot run; "
                + "the fastest it can is \(KernelVariant.best.rawValue)."
        }
    }
}
