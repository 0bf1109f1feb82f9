package pizza

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestPrices(t *testing.T) {
	store := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"prices": map[string]any{"dough": int64(400), "cheese": int64(150), "mushrooms": int64(120)}, "discount": int64(20),
	}}}
	plain, coupon := newOrder("plain", ""), newOrder("coupon", "LAUNCH20")
	if got := *listPrice(plain, store); got != 670 {
		t.Errorf("the list price is %d, want 670", got)
	}
	if got := promotionPrice(plain, store); got != nil {
		t.Errorf("without a coupon the promotions controller has a price, %d", *got)
	}
	if got := *promotionPrice(coupon, store); got != 536 {
		t.Errorf("with a coupon it is %d, want 536", got)
	}
	// What the fight is about: the pizza controller does not know of coupons.
	if got := *listPrice(coupon, store); got != 670 {
		t.Errorf("the list price with a coupon is %d, want 670", got)
	}
}
