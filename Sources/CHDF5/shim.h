#pragma once
#include <hdf5.h>
#include <stdlib.h>

// Swift imports no macro of more than one token. HDF5's predefined identifiers are such macros (most open the library
// before they name a global), so each that we use has a getter here. Functions whose plain names are version macros
// (H5Dopen, H5Acreate, …) are called by their numbered names and need nothing here.

// What kind of link stands under a name, of H5L_type_t; negative where it cannot be told.
static inline int chdf5_link_kind(hid_t place, const char *name) {
    H5L_info_t info;
    return H5Lget_info(place, name, &info, H5P_DEFAULT) < 0 ? -1 : (int)info.type;
}
static inline int chdf5_link_kind_own(void) { return H5L_TYPE_HARD; }

// Memory for what is read, as long as `left`, a long, has bytes of it; negative once it had not.
static inline void *chdf5_allocate_counted(size_t bytes, void *left) {
    long *count = (long *)left;
    if (*count < 0 || bytes > (size_t)*count) {
        *count = -1;
        return NULL;
    }
    *count -= (long)bytes;
    return malloc(bytes);
}
static inline void chdf5_free_counted(void *memory, void *nothing) {
    (void)nothing;
    free(memory);
}

// Property lists.
static inline hid_t chdf5_property_default(void) { return H5P_DEFAULT; }
static inline hid_t chdf5_property_file_create(void) { return H5P_FILE_CREATE; }
static inline hid_t chdf5_property_file_access(void) { return H5P_FILE_ACCESS; }
static inline hid_t chdf5_property_group_create(void) { return H5P_GROUP_CREATE; }
static inline hid_t chdf5_property_dataset_create(void) { return H5P_DATASET_CREATE; }
static inline hid_t chdf5_property_transfer(void) { return H5P_DATASET_XFER; }
static inline hid_t chdf5_property_link_create(void) { return H5P_LINK_CREATE; }
static inline hid_t chdf5_property_attribute_create(void) { return H5P_ATTRIBUTE_CREATE; }

// Opening modes of a file.
static inline unsigned chdf5_open_read_only(void) { return H5F_ACC_RDONLY; }
static inline unsigned chdf5_create_exclusively(void) { return H5F_ACC_EXCL; }

// Types in memory.
static inline hid_t chdf5_native_int8(void) { return H5T_NATIVE_INT8; }
static inline hid_t chdf5_native_int16(void) { return H5T_NATIVE_INT16; }
static inline hid_t chdf5_native_int32(void) { return H5T_NATIVE_INT32; }
static inline hid_t chdf5_native_int64(void) { return H5T_NATIVE_INT64; }
static inline hid_t chdf5_native_uint8(void) { return H5T_NATIVE_UINT8; }
static inline hid_t chdf5_native_uint16(void) { return H5T_NATIVE_UINT16; }
static inline hid_t chdf5_native_uint32(void) { return H5T_NATIVE_UINT32; }
static inline hid_t chdf5_native_uint64(void) { return H5T_NATIVE_UINT64; }
static inline hid_t chdf5_native_float(void) { return H5T_NATIVE_FLOAT; }
static inline hid_t chdf5_native_double(void) { return H5T_NATIVE_DOUBLE; }
static inline hid_t chdf5_c_string(void) { return H5T_C_S1; }

// Types in files: little-endian, so that equal contents are equal bytes on every machine.
static inline hid_t chdf5_stored_int8(void) { return H5T_STD_I8LE; }
static inline hid_t chdf5_stored_int16(void) { return H5T_STD_I16LE; }
static inline hid_t chdf5_stored_int32(void) { return H5T_STD_I32LE; }
static inline hid_t chdf5_stored_int64(void) { return H5T_STD_I64LE; }
static inline hid_t chdf5_stored_uint8(void) { return H5T_STD_U8LE; }
static inline hid_t chdf5_stored_uint16(void) { return H5T_STD_U16LE; }
static inline hid_t chdf5_stored_uint32(void) { return H5T_STD_U32LE; }
static inline hid_t chdf5_stored_uint64(void) { return H5T_STD_U64LE; }
static inline hid_t chdf5_stored_float(void) { return H5T_IEEE_F32LE; }
static inline hid_t chdf5_stored_double(void) { return H5T_IEEE_F64LE; }

// Constants with casts in them.
static inline hid_t chdf5_error_stack_default(void) { return H5E_DEFAULT; }
static inline hid_t chdf5_space_all(void) { return H5S_ALL; }
static inline hsize_t chdf5_unlimited(void) { return H5S_UNLIMITED; }
static inline haddr_t chdf5_undefined_address(void) { return HADDR_UNDEF; }
static inline size_t chdf5_variable_length(void) { return H5T_VARIABLE; }
static inline int chdf5_maximum_rank(void) { return H5S_MAX_RANK; }
