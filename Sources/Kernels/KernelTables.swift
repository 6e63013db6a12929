/// The kernels of one variant for both formats of feature maps.
package struct KernelTables: Sendable {
    package var float32: KernelTable
    package var bfloat16: KernelTable

    package init(float32: KernelTable, bfloat16: KernelTable) {
        self.float32 = float32
        self.bfloat16 = bfloat16
    }

    package subscript(_ format: ElementFormat) -> KernelTable { format == .float32 ? float32 : bfloat16 }
}
