use serde_json::json;
use tenantry_stripe_spec::decode;

#[test]
fn brackets_nest() {
    let form =
        "customer=cus_1&items[0][price]=p1&items%5B1%5D%5Bprice%5D=p2&metadata[a.b]=x+y%26z&expand[]=a&expand[]=b";
    let due = json!({
        "customer": "cus_1",
        "items": [{"price": "p1"}, {"price": "p2"}],
        "metadata": {"a.b": "x y&z"},
        "expand": ["a", "b"],
    });
    assert_eq!(decode(form).unwrap(), due);
    assert_eq!(decode("").unwrap(), json!({}));
}

#[test]
fn what_is_no_form_is_refused() {
    for (form, problem) in [
        ("a[b=1", "a[b: the brackets do not match"),
        ("a]b=1", "a]b: the brackets do not match"),
        ("[a]=1", "[a]: the brackets do not match"),
        ("a[b]c=1", "a[b]c: the brackets do not match"),
        ("a[[b]]=1", "a[[b]]: the brackets do not match"),
        ("=1", ": the brackets do not match"),
        ("a=1&a=2", "a: is sent twice"),
        ("a[0]=1&a[0]=2", "a[0]: is sent twice"),
        ("a=1&a[b]=2", "a[b]: is sent both as a value and with members"),
        ("a[b]=2&a=1", "a: is sent twice"),
    ] {
        assert_eq!(decode(form).unwrap_err().to_string(), problem, "{form}");
    }
}
